"""Steps that the tests of the event log share: append, read, look at the tables."""

import json
from collections.abc import Callable
from typing import Any

from flask import Flask
from sqlalchemy import Engine, text

from app.db.engine import autocommit_engine
from app.events import log
from app.events.log import Cursor, Event, LogHead, NewEvent
from app.extensions import db

BOOK = {"title": "Emma", "author": "Jane Austen"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
UNLIMITED = 2**62
LONG_AGO = "2020-01-01 00:00:00"


def engine_of(app: Flask) -> Engine:
    with app.app_context():
        return autocommit_engine()


def head(app: Flask) -> LogHead:
    return log.head(engine_of(app))


def read_all(app: Flask) -> list[Event]:
    """Return all events that are stored."""
    engine = engine_of(app)
    current = log.head(engine)
    return log.after(engine, Cursor(current.log, current.oldest - 1), UNLIMITED, UNLIMITED)


def reader_of_new_events(app: Flask) -> Callable[[], list[tuple[str, str, Any]]]:
    """Return a function that returns the events since its last call: type, topic and data."""
    seen = head(app).position

    def read() -> list[tuple[str, str, Any]]:
        nonlocal seen
        events = [event for event in read_all(app) if event.position > seen]
        seen += len(events)
        return [(event.type, event.topic, json.loads(event.data)) for event in events]

    return read


def write(app: Flask, topic: str = "t", **data: Any) -> None:
    """Commit an event and nothing else."""
    with app.app_context():
        log.append([NewEvent("review.created", topic, data)])
        db.session.commit()


def execute(app: Flask, statement: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(statement))


def post_review(app: Flask, book: int, **headers: str) -> Any:
    response = app.test_client().post(f"/books/{book}/reviews", json=REVIEW, headers=headers)
    assert response.status_code == 201
    return response
