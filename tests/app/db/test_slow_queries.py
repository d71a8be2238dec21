"""The log of slow queries: which statement, how long, for whom, and never a value."""

import logging
from contextlib import suppress
from threading import get_ident

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import func, literal, select
from sqlalchemy.exc import SQLAlchemyError

from app.db import slow_queries
from app.db.engine import autocommit_engine, fetch_all
from app.db.reads import fetch_compiled
from app.extensions import db
from bookreview.models import Book


def slow_count():
    return REGISTRY.get_sample_value("bookstall_slow_queries_total")


@pytest.fixture(autouse=True)
def limit(app, monkeypatch, caplog):
    """Every statement is slow, but not those with which SQLAlchemy gets to know the database."""
    with app.app_context():
        fetch_all(select(literal(1)))
        db.session.execute(select(literal(1)))
    monkeypatch.setattr(slow_queries, "SLOW_SECONDS", 0.0)
    monkeypatch.setattr(slow_queries, "LINES_PER_SECOND", 1_000)
    caplog.set_level(logging.INFO, "bookstall.queries")


def records(caplog):
    """Return those of this thread: threads of earlier tests may still send queries."""
    return [
        record
        for record in caplog.records
        if record.name == "bookstall.queries" and record.thread == get_ident()
    ]


@pytest.mark.parametrize("read", [fetch_all, fetch_compiled])
def test_each_kind_of_read_is_measured(app, caplog, read):
    with app.app_context():
        read(select(Book.id).where(Book.author == "a value"))
    [record] = records(caplog)
    assert "FROM book WHERE book.author = " in record.getMessage()
    assert "a value" not in caplog.text
    assert "\n" not in record.getMessage()
    assert 0 < record.ms < 10_000


def test_a_write_is_measured_and_a_line_names_its_request(client, caplog):
    body = {"title": "Emma", "author": "a value"}
    assert client.post("/books", json=body, headers={"X-Request-ID": "it"}).status_code == 201
    [record] = [each for each in records(caplog) if "INSERT INTO book " in each.getMessage()]
    assert (record.request_id, record.route) == ("it", "/books")
    assert "a value" not in caplog.text


def test_a_line_has_the_trace_of_its_request(client, caplog):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    client.get("/books", headers={"traceparent": trace})
    assert any(each.trace_id == trace.split("-")[1] for each in records(caplog))


def test_a_statement_that_fails_is_measured(app, caplog):
    with app.app_context(), autocommit_engine().connect() as connection:
        with suppress(SQLAlchemyError):
            connection.exec_driver_sql("SELECT * FROM no_such_table")
        with suppress(SQLAlchemyError):
            fetch_compiled(select(func.no_such_function(literal(1))))
    assert ["no_such_table" in each.getMessage() for each in records(caplog)] == [True, False]


def test_a_fast_statement_leaves_no_trace(app, caplog, monkeypatch):
    monkeypatch.setattr(slow_queries, "SLOW_SECONDS", 60.0)
    before = slow_count()
    with app.app_context():
        fetch_all(select(Book.id))
        db.session.execute(select(Book.id))
    assert records(caplog) == []
    assert slow_count() == before


def test_all_are_counted_but_few_are_logged(app, caplog, monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(slow_queries, "LINES_PER_SECOND", 2)
    monkeypatch.setattr(slow_queries, "time", FakeTime(now))
    before = slow_count()
    with app.app_context():
        for _ in range(5):
            fetch_compiled(select(Book.id))
        now[0] += 1
        fetch_compiled(select(Book.title))
    assert slow_count() >= before + 6  # a thread of an earlier test may add some
    lines = [record.getMessage() for record in records(caplog)]
    assert len(lines) == 3
    assert "3 slow queries before it are not logged" in lines[2]


class FakeTime:
    """A clock that the test sets."""

    def __init__(self, now):
        self._now = now

    def monotonic(self):
        return self._now[0]

    perf_counter = monotonic


def test_a_long_statement_is_cut(app, caplog):
    with app.app_context():
        fetch_all(select(*(literal(number) for number in range(500))))
    [record] = records(caplog)
    assert 1_900 < len(record.getMessage()) < 2_100
