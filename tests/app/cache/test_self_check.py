"""The self-check of the cache: it finds what differs from the database, and nothing else."""

import logging
import time
from threading import Event

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from app.cache import self_check
from app.extensions import db
from app.services import services_of
from tests.app.cache.steps import BOOK, add_review
from tests.waiting import PATIENCE

CHANGE = "UPDATE book SET title = 'Persuasion'"
OUTBOX = "INSERT INTO outbox (tags, held, created_at) VALUES ('[\"book:1\"]', false, :now)"


class Comparisons:
    """What the self-check has counted since it was made."""

    def __init__(self):
        self._before = self._now()

    def _now(self):
        names = ("checked", "stale")
        return [REGISTRY.get_sample_value(f"bookstall_cache_{name}_total") for name in names]

    def counts(self):
        return [now - before for now, before in zip(self._now(), self._before, strict=True)]


@pytest.fixture
def comparisons():
    return Comparisons()


@pytest.fixture(params=["memory", "redis"])
def app(request, monkeypatch):
    """An application that checks each hit, on SQLite without and with Redis."""
    monkeypatch.setattr(self_check, "PART", 1.0)
    names = ("make_app", "sqlite_database")
    make_app, database = map(request.getfixturevalue, names)
    url = request.getfixturevalue("fresh_redis") if request.param == "redis" else None
    return make_app(database, redis_url=url)


@pytest.fixture
def client(app):
    client = app.test_client()
    client.post("/books", json=BOOK)
    return client


def read_twice(client, path="/books/1"):
    """Read what is not in the cache yet, so that the second read is a hit."""
    statuses = [client.get(path).headers["Cache-Status"] for _ in range(2)]
    assert statuses[1].startswith("bookstall; hit"), statuses


def finish(app):
    """Wait until nothing is being checked."""
    checks = services_of(app).self_check
    checks._thread.submit(lambda: None).result(PATIENCE)


def change(app, *statements):
    """Change the database past the service, which invalidates nothing."""
    with app.app_context(), db.engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), {"now": "2026-01-01 00:00:00.000000"})


def test_hits_that_equal_the_database_are_counted(app, client, comparisons):
    for number, path in enumerate(["/books/1", "/books", "/figures", "/books/1/reviews?limit=1"]):
        read_twice(client, path)
        finish(app)
        assert comparisons.counts() == [number + 1, 0]


def test_a_hit_that_differs_from_the_database_is_reported(app, client, comparisons, caplog):
    client.get("/books/1")
    change(app, CHANGE)
    assert client.get("/books/1", headers={"X-Request-ID": "the-hit"}).json["title"] == "Emma"
    finish(app)
    assert comparisons.counts() == [1, 1]
    [record] = [each for each in caplog.records if each.name == self_check.log.name]
    assert record.levelno == logging.ERROR
    assert (record.route, record.request_id) == ("/books/<id:book_id>", "the-hit")
    assert "Persuasion" not in caplog.text


def test_a_row_that_is_gone_is_a_difference(app, client, comparisons):
    client.get("/books/1")
    change(app, "DELETE FROM book")
    read_twice(client)
    finish(app)
    assert comparisons.counts()[1] == 2


def delay_views(app, monkeypatch, meanwhile):
    """Call ``meanwhile`` before each query of the self-check."""
    views = app.wsgi_app.views
    respond = views.respond

    def respond_later(environ, route):
        if "wsgi.input" not in environ:
            meanwhile()
        return respond(environ, route)

    monkeypatch.setattr(views, "respond", respond_later)


def test_a_write_since_the_hit_is_no_difference(app, client, comparisons, monkeypatch):
    writer = app.test_client()
    delay_views(app, monkeypatch, lambda: add_review(writer, 1))
    read_twice(client)
    finish(app)
    assert comparisons.counts() == [0, 0]


def test_a_write_that_has_not_invalidated_yet_is_no_difference(
    app, client, comparisons, monkeypatch
):
    delay_views(app, monkeypatch, lambda: change(app, CHANGE, OUTBOX))
    read_twice(client)
    finish(app)
    assert comparisons.counts() == [0, 0]


def test_a_response_whose_time_is_over_is_not_compared(app, client, comparisons, monkeypatch):
    def check_late(entry, *arguments):
        entry.expires_at = time.monotonic()
        change(app, CHANGE)
        check_later(entry, *arguments)

    checks = services_of(app).self_check
    check_later = checks.check_later
    monkeypatch.setattr(checks, "check_later", check_late)
    read_twice(client)
    finish(app)
    assert comparisons.counts() == [0, 0]


def test_a_failure_of_the_database_says_nothing(app, client, comparisons, monkeypatch):
    client.get("/books/1")
    change(app, "ALTER TABLE book RENAME TO gone")
    read_twice(client)
    finish(app)
    assert comparisons.counts() == [0, 0]


def test_hits_are_dropped_while_others_are_checked(app, client, comparisons, monkeypatch):
    go_on = Event()
    delay_views(app, monkeypatch, lambda: go_on.wait(PATIENCE))
    for _ in range(6):
        client.get("/books/1")
    go_on.set()
    finish(app)
    assert comparisons.counts() == [self_check.MAX_WAITING, 0]


def test_hits_are_dropped_while_requests_need_the_connections(app, client, comparisons):
    pool = services_of(app).autocommit_engine.pool
    taken = [pool.connect() for _ in range(pool.size() - 1)]
    client.get("/books/1")
    assert client.get("/books/1").headers["Cache-Status"].startswith("bookstall; hit")
    for connection in taken:
        connection.close()
    finish(app)
    assert comparisons.counts() == [0, 0]


def test_a_bug_is_logged_and_ends_nothing(app, client, comparisons, monkeypatch, caplog):
    def fail():
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        delay_views(app, patched, fail)
        read_twice(client)
        finish(app)
    assert "the self-check of the cache failed" in caplog.text
    for _ in range(self_check.MAX_WAITING + 1):
        client.get("/books/1")
        finish(app)
    assert comparisons.counts() == [self_check.MAX_WAITING + 1, 0]


def test_without_redis_a_difference_says_nothing(worker, comparisons, server, monkeypatch):
    def change_and_stop():
        change(worker, CHANGE)
        server.stop()

    monkeypatch.setattr(self_check, "PART", 1.0)
    client = worker.test_client()
    client.post("/books", json=BOOK)
    delay_views(worker, monkeypatch, change_and_stop)
    read_twice(client)
    finish(worker)
    assert comparisons.counts() == [0, 0]
    assert services_of(worker).cache.lease.run_id() is None
