"""Steps that the tests of the cache share: requests, a look at the outbox, commands of Redis."""

import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from app.db.engine import autocommit_engine
from app.extensions import db
from stack.servers import Redis
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[3]
HIT = "bookstall; hit"
STORED = "bookstall; fwd=miss; stored"
BOOK = {"title": "Emma", "author": "Jane Austen"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}


def cache_status(client: FlaskClient, path: str = "/books") -> str:
    """Read ``path`` and return the header Cache-Status."""
    response = client.get(path)
    assert response.status_code == 200
    return response.headers["Cache-Status"]


def review_count(client: FlaskClient, book: int) -> int:
    return int(client.get(f"/books/{book}").json["review_count"])


def add_review(client: FlaskClient, book: int) -> None:
    assert client.post(f"/books/{book}/reviews", json=REVIEW).status_code == 201


def outbox_size(app: Flask) -> int:
    with app.app_context(), db.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one())


def stale_seconds(write: Callable[[], object], reader: FlaskClient, book: int) -> float:
    """Let ``write`` add a review; return for how long the reader does not see it."""
    expected = review_count(reader, book) + 1
    write()
    began = time.monotonic()
    wait_until(lambda: review_count(reader, book) == expected)
    return time.monotonic() - began


def execute(server: Redis, *command: Any) -> Any:
    """Send a command to Redis on a connection of its own."""
    with redis.Redis.from_url(server.url) as connection:
        return connection.execute_command(*command)


def pause_first_read(app: Flask, table: str = "book") -> tuple[Event, Event]:
    """Pause the first read of a table after its query.

    Return the event that it sets when it pauses, and the one that lets it continue.
    """
    paused, resume = Event(), Event()

    def pause(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if f"FROM {table}" in statement and not paused.is_set():
            paused.set()
            assert resume.wait(PATIENCE)

    with app.app_context():
        event.listen(autocommit_engine(), "after_cursor_execute", pause)
    return paused, resume
