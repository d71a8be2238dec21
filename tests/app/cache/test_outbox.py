"""The outbox: invalidations that their writer could not deliver, or died before it could."""

import signal
import subprocess
import sys

import pytest

from app.cache import outbox
from app.cache.lease import LEASE_SECONDS
from app.extensions import db
from app.services import services_of
from tests.app.cache.steps import (
    BOOK,
    HIT,
    ROOT,
    STORED,
    add_review,
    cache_status,
    outbox_size,
    stale_seconds,
)
from tests.waiting import patient, shortest, wait_until

STALE_SECONDS = LEASE_SECONDS + 0.5


def test_a_delivered_invalidation_leaves_no_row(client, worker, book):
    add_review(client, book())
    assert outbox_size(worker) == 0


def test_the_reader_delivers_for_a_writer_without_redis(worker, make_app, database, book):
    reader = worker.test_client()
    emma = book()
    writer = make_app(database).test_client()
    stale = shortest(
        lambda: stale_seconds(lambda: add_review(writer, emma), reader, emma), STALE_SECONDS
    )
    assert stale <= STALE_SECONDS


DYING_WRITER = """
import os, signal, sys
from app.config import Settings, database_url
from app.factory import create_app
from app.cache.response_cache import ResponseCache

ResponseCache.invalidate = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
url, redis_url, book = sys.argv[1:]
settings = Settings(database_url=database_url(url), redis_url=redis_url, secret_key="any")
create_app(settings).test_client().post(
    f"/books/{book}/reviews", json={"rating": 4, "reviewer": "Ana", "text": "My last words."}
)
"""


def test_the_reader_delivers_for_a_writer_killed_between_commit_and_invalidation(
    server, client, worker, database, book
):
    emma = book()
    command = [sys.executable, "-c", DYING_WRITER, database, server.url, str(emma)]

    def write_and_die() -> None:
        died = subprocess.run(command, check=False, cwd=ROOT)
        assert died.returncode == -signal.SIGKILL

    stale = shortest(lambda: stale_seconds(write_and_die, client, emma), STALE_SECONDS)
    assert stale <= STALE_SECONDS
    assert outbox_size(worker) == 0


def test_more_invalidations_than_one_batch_are_all_delivered(
    server, worker, make_app, database, monkeypatch
):
    monkeypatch.setattr(outbox, "BATCH_SIZE", 2)
    writer, reader = make_app(database).test_client(), worker.test_client()
    books = [writer.post("/books", json=BOOK).json["id"] for _ in range(5)]
    assert outbox_size(worker) == 5
    assert cache_status(reader, f"/books/{books[0]}") == STORED
    assert outbox_size(worker) == 0


def test_without_redis_old_rows_are_removed(make_app, database):
    app = make_app(database)
    client = app.test_client()
    client.post("/books", json=BOOK)
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET created_at = '2020-01-01 00:00:00'")
    services_of(app).outbox_purger.next_purge_at = 0.0
    client.post("/books", json=BOOK)
    assert outbox_size(app) == 1


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_write_of_a_release_without_fine_tags_invalidates_all_lists(
    kind, request, make_app, server
):
    """Its worker may run beside ours for a moment, and knows the guard tags only."""
    app = make_app(request.getfixturevalue(f"{kind}_database"), redis_url=patient(server.url))
    client = app.test_client()
    client.post("/books", json=BOOK)
    assert [cache_status(client) for _ in range(2)] == [STORED, HIT]
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO book (title, author, folded, review_count, rating_sum, created_at) "
            "SELECT title, author, folded, 0, 0, created_at FROM book"
        )
        connection.exec_driver_sql(
            "INSERT INTO outbox (tags, held, created_at) "
            """SELECT '["books"]', false, created_at FROM book LIMIT 1"""
        )
    assert outbox_size(app) == 2
    wait_until(lambda: len(client.get("/books").json["items"]) == 2)
    assert outbox_size(app) == 0


def test_a_write_of_this_release_adds_no_row_for_all_tags(make_app, database):
    app = make_app(database)  # without Redis the rows stay
    app.test_client().post("/books", json=BOOK)
    assert outbox_size(app) == 1
