"""FastAPI that returns the same bodies from memory: the maximum of FastAPI itself."""

import os
from pathlib import Path

from fastapi import FastAPI, Response

BODIES = {path.name: path.read_bytes() for path in Path(os.environ["BODIES"]).iterdir()}
app = FastAPI()


@app.get("/books")
async def books() -> Response:
    """Return the list."""
    return Response(BODIES["books"], media_type="application/json")


@app.get("/products/{product_id}")
async def product(product_id: int) -> Response:  # noqa: ARG001
    """Return the product."""
    return Response(BODIES["product"], media_type="application/json")


@app.get("/books/{book_id}/reviews")
async def reviews(book_id: int) -> Response:  # noqa: ARG001
    """Return the reviews."""
    return Response(BODIES["reviews"], media_type="application/json")
