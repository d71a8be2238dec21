"""Steps that the tests of the event log share: append, read, look at the tables."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import OperationalError

from app.db.engine import autocommit_engine
from app.events import log
from app.events.log import Cursor, Event, LogHead, NewEvent
from app.events.statements import STORED
from app.extensions import db
from tests.waiting import served, wait_until

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
    path = f"/books/{book}/reviews"
    response = served(partial(app.test_client().post, path, json=REVIEW, headers=headers))
    assert response.status_code == 201
    return response


def oldest(app: Flask) -> int:
    """Return the oldest position; unlike ``head`` give none to new events."""
    with engine_of(app).connect() as connection:
        return int(connection.scalar(select(func.min(STORED.position))) or 0)


def until_committed(write: Callable[[], None]) -> None:
    """Repeat a write that a busy machine lets wait too long for the locks of others."""

    def is_committed() -> bool:
        try:
            write()
        except OperationalError:
            return False
        return True

    wait_until(is_committed)
