"""A listener at the event reader, and functions that write events."""

import time
from collections.abc import Callable
from threading import Condition
from typing import Any

import redis
from flask import Flask
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import insert, text

from app.db.engine import autocommit_engine
from app.events import log as events
from app.events.log import Event, LogHead, NewEvent, Numbered
from app.events.stream import stream_commands
from app.extensions import db
from app.live.event_reader import POLL_SECONDS, EventReader
from app.redis.client import RedisUnavailable
from app.services import services_of
from bookreview.models import Book, derive
from stack.servers import Redis
from tests.waiting import PATIENCE, wait_until

BOOK = {"title": "Emma", "author": "Jane Austen"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
DATABASE_SECONDS = POLL_SECONDS + 1.0
"""An event that never reached Redis arrives within this time."""


class Listener:
    """An event reader, and what it has delivered."""

    def __init__(self, app: Flask) -> None:
        self.reader = EventReader(services_of(app), self._on_events, self._on_reset)
        self.changed = Condition()
        self.resets: list[tuple[LogHead, list[Event]]] = []
        self.events: list[Event] = []
        self.fail_once = False

    def _on_events(self, events: Any) -> None:
        with self.changed:
            if self.fail_once:
                self.fail_once = False
                raise RuntimeError("a bug")
            self.events += events
            self.changed.notify_all()

    def _on_reset(self, head: LogHead, recent: Any) -> None:
        with self.changed:
            self.resets.append((head, list(recent)))
            self.events = []
            self.changed.notify_all()

    @property
    def positions(self) -> list[int]:
        return [event.position for event in self.events]

    def wait(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
        """Wait until the condition holds; return the seconds that it took."""
        began = time.monotonic()
        with self.changed:
            assert self.changed.wait_for(condition, seconds), (self.positions, self.resets)
        return time.monotonic() - began

    def wait_for(self, position: int, seconds: float = PATIENCE) -> float:
        return self.wait(
            lambda: bool(self.events) and self.events[-1].position >= position, seconds
        )


def new_event(position: int, topic: str = "t") -> Event:
    return Event(position, "review.created", topic, "2026-01-01T00:00:00Z", b"{}")


def write_event(app: Flask, topic: str = "t", *, silent: bool = False) -> Event:
    """Commit an event; ``silent`` as a writer that dies before it reaches Redis."""
    with app.app_context():
        written = events.append([NewEvent("review.created", topic, {"topic": topic})])
        db.session.commit()
    if written is None:  # on PostgreSQL
        engine = services_of(app).autocommit_engine
        head = events.head(engine)
        written = Numbered(head.log, events.newest(engine, head.position, 1))
    if not silent:
        announce(app, written.log, written.events[0])
    return written.events[0]


def write_events(app: Flask, count: int) -> None:
    """Commit many events that do not reach Redis."""
    with app.app_context():
        events.append([NewEvent("review.created", "t", {})] * count)
        db.session.commit()


def announce(app: Flask, log: str, event: Event) -> None:
    """Add an event to the stream in Redis."""
    client = services_of(app).redis

    def is_added() -> bool:
        try:
            client.send(client.connection(), stream_commands(log, [event]))
        except RedisUnavailable:  # a busy machine delays responses; Redis refuses what it has
            return False
        return True

    if client is not None:
        wait_until(is_added)


def add_review(app: Flask) -> None:
    client = app.test_client()
    if client.post("/books/1/reviews", json=REVIEW).status_code == 404:
        with app.app_context():  # without an event
            db.session.execute(insert(Book).values(id=1, **BOOK, **derive(**BOOK)))
            db.session.commit()
        assert client.post("/books/1/reviews", json=REVIEW).status_code == 201


def log_name(app: Flask) -> str:
    with app.app_context():
        return events.head(autocommit_engine()).log


def execute_sql(app: Flask, statement: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(statement))


def execute_redis(server: Redis, *command: Any) -> Any:
    with redis.Redis.from_url(server.url) as connection:
        return connection.execute_command(*command)


def record_queries(app: Flask, after_each: Callable[[], Any] = lambda: None) -> list[str]:
    """Record all queries from now on; ``after_each`` is called after each of them."""
    queries: list[str] = []

    def record(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        queries.append(statement)
        after_each()

    with app.app_context():
        sqlalchemy_event.listen(autocommit_engine(), "after_cursor_execute", record)
    return queries


def wait_for_blocked(server: Redis, readers: int = 1) -> None:
    """Wait until this number of readers is blocked in XREAD."""
    with redis.Redis.from_url(server.url) as connection:
        wait_until(lambda: connection.info("clients")["blocked_clients"] >= readers)
