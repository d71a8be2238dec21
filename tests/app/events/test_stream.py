"""The Redis Stream: events under their positions, which Redis may refuse."""

from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import text

from app.events.log import Event
from app.events.stream import (
    STREAM_MAX,
    STREAM_SECONDS,
    Stream,
    stream_commands,
    stream_key,
)
from app.extensions import db
from stack.servers import Redis
from tests.app.events.steps import BOOK, head, post_review, read_all
from tests.waiting import PATIENCE, patient, wait_until


@pytest.fixture
def worker(make_app, sqlite_database, redis_url) -> Flask:
    return make_app(sqlite_database, redis_url=redis_url)


def stream_entries(url: str, log: str) -> list[Any]:
    with redis.Redis.from_url(url) as connection:
        return list(connection.xrange(stream_key(log)))


def test_the_stream_has_the_events_under_their_positions(
    make_app, database, redis_url, monkeypatch
):
    monkeypatch.setattr("app.events.stream.TIMEOUT_SECONDS", PATIENCE)
    app = make_app(database, redis_url=redis_url)
    # Not again before the end: who reads the head may publish a later event before the sequencer.
    name = head(app).log
    client = app.test_client()
    book = client.post("/books", json=BOOK).json["id"]
    post_review(app, book)
    post_review(app, book, **{"Idempotency-Key": "k"})
    wait_until(lambda: len(stream_entries(redis_url, name)) == 3)
    assert list(Stream(redis_url).read(name, 0)) == read_all(app)
    with redis.Redis.from_url(redis_url) as connection:
        assert 0 < connection.ttl(stream_key(name)) <= STREAM_SECONDS


def test_a_stream_that_refuses_an_event_does_not_delay_the_invalidation(worker, redis_url):
    client = worker.test_client()
    book = client.post("/books", json=BOOK).json["id"]
    with redis.Redis.from_url(redis_url) as connection:
        connection.xadd(stream_key(head(worker).log), {"t": "x", "p": "x"}, id="99-0")
    assert client.get(f"/books/{book}").json["review_count"] == 0
    post_review(worker, book)
    assert client.get(f"/books/{book}").json["review_count"] == 1
    assert stream_entries(redis_url, head(worker).log)[-1][0] == b"99-0"
    with worker.app_context(), db.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 0


def test_a_full_redis_takes_the_invalidation_and_not_the_event(make_app, sqlite_database):
    with Redis() as server, redis.Redis.from_url(server.url) as connection:
        app = make_app(sqlite_database, redis_url=patient(server.url))
        client = app.test_client()
        book = client.post("/books", json=BOOK).json["id"]
        name = head(app).log
        stored = wait_until(lambda: stream_entries(server.url, name))
        connection.config_set("maxmemory", "1")
        assert client.get(f"/books/{book}").json["review_count"] == 0
        post_review(app, book)
        assert client.get(f"/books/{book}").json["review_count"] == 1
        assert stream_entries(server.url, name) == stored
        assert [event.type for event in read_all(app)][-1] == "review.created"


def test_the_stream_is_bounded_and_expires(worker, redis_url):
    name = head(worker).log
    with redis.Redis.from_url(redis_url) as connection:
        for position in range(1, 3 * STREAM_MAX):
            event = Event(position, "review.created", "t", "2026-01-01T00:00:00Z", b"{}")
            for command in stream_commands(name, [event]):
                connection.execute_command(*command)
        length = connection.xlen(stream_key(name))
        assert STREAM_MAX <= length < 2 * STREAM_MAX
        assert 0 < connection.ttl(stream_key(name)) <= STREAM_SECONDS
