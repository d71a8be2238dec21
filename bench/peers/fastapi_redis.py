"""FastAPI that returns the same bodies after one GET of redis.asyncio."""

import os
from pathlib import Path

from fastapi import FastAPI, Response
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

with Redis.from_url(os.environ["REDIS_URL"]) as redis:
    for path in Path(os.environ["BODIES"]).iterdir():
        redis.set(f"plain:{path.name}", path.read_bytes())
store = AsyncRedis.from_url(os.environ["REDIS_URL"])
app = FastAPI()


@app.get("/books")
async def books() -> Response:
    """Return the list."""
    return Response(await store.get("plain:books"), media_type="application/json")


@app.get("/products/{product_id}")
async def product(product_id: int) -> Response:  # noqa: ARG001
    """Return the product."""
    return Response(await store.get("plain:product"), media_type="application/json")


@app.get("/books/{book_id}/reviews")
async def reviews(book_id: int) -> Response:  # noqa: ARG001
    """Return the reviews."""
    return Response(await store.get("plain:reviews"), media_type="application/json")
