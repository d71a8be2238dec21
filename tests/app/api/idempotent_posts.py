"""Requests with an Idempotency-Key, and what they leave in the database."""

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from app.extensions import db

BOOK = {"title": "Emma", "author": "Jane Austen", "isbn": "9780439023481"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}


def post(client: FlaskClient, key: str = "k", path: str = "/books", body: Any = BOOK) -> Any:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def execute(app: Flask, statement: str) -> Any:
    with app.app_context(), db.engine.begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def count_books(app: Flask) -> int:
    return int(execute(app, "SELECT count(*) FROM book"))


def count_stored_responses(app: Flask) -> int:
    return int(execute(app, "SELECT count(*) FROM first_answer"))
