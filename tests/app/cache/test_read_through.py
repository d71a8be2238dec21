"""Read-through: misses fill the cache, hits avoid the database, writes are seen at once."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Lock
from typing import Any

from sqlalchemy import event

from app import single_flight
from app.cache import lease
from app.db.engine import autocommit_engine
from app.extensions import db
from tests.app.cache.steps import (
    BOOK,
    HIT,
    STORED,
    add_review,
    cache_status,
    pause_first_read,
    review_count,
)
from tests.waiting import PATIENCE


def test_the_first_read_is_a_miss_that_fills_and_the_second_a_hit(client, book):
    emma = book()
    missed, hit = client.get(f"/books/{emma}"), client.get(f"/books/{emma}")
    assert [missed.headers["Cache-Status"], hit.headers["Cache-Status"]] == [STORED, HIT]
    names = ("ETag", "Content-Type", "Content-Length", "Vary", "Link")
    assert missed.data == hit.data
    assert [missed.headers.get(n) for n in names] == [hit.headers.get(n) for n in names]


def test_a_hit_sends_the_database_no_query(client, worker, book, monkeypatch):
    monkeypatch.setattr(lease, "LEASE_SECONDS", PATIENCE)  # to renew it takes a query
    emma = book()
    client.get(f"/books/{emma}")
    with worker.app_context():
        engines = db.engine, autocommit_engine()
    statements = []
    for engine in engines:
        event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    assert cache_status(client, f"/books/{emma}") == HIT
    assert statements == []


def test_a_hit_is_a_304_for_a_client_with_the_same_etag(client):
    etag = client.get("/books").headers["ETag"]
    again = client.get("/books", headers={"If-None-Match": etag})
    assert (again.status_code, again.headers["Cache-Status"], again.data) == (304, HIT, b"")


def test_a_404_is_not_stored(client, book):
    assert client.get("/books/1").status_code == 404
    assert client.get("/books/1").headers["Cache-Status"] == "bookstall; fwd=miss"
    assert cache_status(client, f"/books/{book()}") == STORED


def test_a_write_is_seen_by_the_next_read_of_every_worker(make_worker):
    writer, reader = make_worker().test_client(), make_worker().test_client()
    emma = writer.post("/books", json=BOOK).json["id"]
    for expected in range(1, 30):
        assert review_count(reader, emma) == expected - 1
        assert len(reader.get(f"/books/{emma}/reviews?limit=100").json["items"]) == expected - 1
        add_review(writer, emma)
        assert reader.get("/books").json["items"][0]["review_count"] == expected


def test_a_write_leaves_other_books_cached(client, book):
    emma, other = book(), book()
    cache_status(client, f"/books/{other}/reviews")
    add_review(client, emma)
    assert cache_status(client, f"/books/{other}/reviews") == HIT


def test_a_slow_reader_cannot_store_the_old_response_again(worker, make_worker, book):
    """It reads the database before the write, and fills the cache after it."""
    emma = book()
    slow = make_worker()
    paused, resume = pause_first_read(slow)
    with ThreadPoolExecutor() as pool:
        old = pool.submit(review_count, slow.test_client(), emma)
        assert paused.wait(PATIENCE)
        add_review(worker.test_client(), emma)
        resume.set()
        assert old.result() == 0
    assert review_count(slow.test_client(), emma) == 1
    assert review_count(worker.test_client(), emma) == 1


def test_a_hundred_simultaneous_misses_cost_one_query(worker, book, monkeypatch):
    # On a busy machine a thread may wait longer for another one's check, or for its query.
    monkeypatch.setattr(lease, "WAIT_SECONDS", PATIENCE)
    monkeypatch.setattr(single_flight, "WAIT_SECONDS", PATIENCE)
    emma = book()
    barrier, lock, statements = Barrier(100), Lock(), []

    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM book" in statement:
            with lock:
                statements.append(statement)
            time.sleep(1)  # a query that takes long enough for all to arrive

    with worker.app_context():
        event.listen(autocommit_engine(), "after_cursor_execute", count)

    def read() -> bytes:
        client = worker.test_client()
        barrier.wait()
        return client.get(f"/books/{emma}").data

    with ThreadPoolExecutor(100) as pool:
        bodies = [future.result() for future in [pool.submit(read) for _ in range(100)]]
    assert len(set(bodies)) == 1
    assert len(statements) == 1


def test_a_read_after_a_write_does_not_join_a_query_from_before_it(worker, book, monkeypatch):
    """The second reader starts after the write, while the query of the first still runs."""
    monkeypatch.setattr(single_flight, "WAIT_SECONDS", 2 * PATIENCE)
    emma = book()
    paused, resume = pause_first_read(worker)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(review_count, worker.test_client(), emma)
        assert paused.wait(PATIENCE)
        add_review(worker.test_client(), emma)
        second = pool.submit(review_count, worker.test_client(), emma)
        assert second.result(PATIENCE) == 1
        resume.set()
        assert first.result() == 0


def test_each_waiting_reader_gets_a_failure_with_a_request_id_of_its_own(worker):
    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(lambda _: worker.test_client().get("/books/9"), range(20)))
    assert {response.status_code for response in responses} == {404}
    assert len({response.json["request_id"] for response in responses}) == 20
