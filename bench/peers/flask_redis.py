"""Flask views that return the same bodies after one Redis GET."""

import os
from pathlib import Path

from flask import Flask, Response
from redis import Redis

app = Flask(__name__)
store = Redis.from_url(os.environ["REDIS_URL"])
for path in Path(os.environ["BODIES"]).iterdir():
    store.set(f"plain:{path.name}", path.read_bytes())


@app.get("/books")
def books() -> Response:
    """Return the list."""
    return Response(store.get("plain:books"), mimetype="application/json")


@app.get("/products/<int:product_id>")
def product(product_id: int) -> Response:  # noqa: ARG001
    """Return the product."""
    return Response(store.get("plain:product"), mimetype="application/json")


@app.get("/books/<int:book_id>/reviews")
def reviews(book_id: int) -> Response:  # noqa: ARG001
    """Return the reviews."""
    return Response(store.get("plain:reviews"), mimetype="application/json")
