"""SQLite without Redis: hits from the memory of the process, and never a stale one."""

import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from app.extensions import db
from tests.app.cache.steps import BOOK, add_review, cache_status, pause_first_read, review_count
from tests.waiting import PATIENCE

HIT = "bookstall; hit; detail=memory"
NO_REDIS = "bookstall; fwd=bypass; detail=no-redis"


@pytest.fixture
def make_worker(make_app, sqlite_database):
    """A factory of applications on one database, like the workers of a service."""
    return lambda **settings: make_app(sqlite_database, **settings)


@pytest.fixture
def client(make_worker):
    return make_worker().test_client()


def test_the_second_read_is_a_hit_like_the_first(client):
    client.post("/books", json=BOOK)
    first, second = client.get("/books"), client.get("/books")
    assert [first.headers["Cache-Status"], second.headers["Cache-Status"]] == [NO_REDIS, HIT]
    differing = {"Cache-Status", "X-Request-ID"}
    assert first.data == second.data
    assert [pair for pair in first.headers if pair[0] not in differing] == [
        pair for pair in second.headers if pair[0] not in differing
    ]


def test_a_hit_is_a_304_for_a_client_with_the_same_etag(client):
    etag = client.get("/books").headers["ETag"]
    again = client.get("/books", headers={"If-None-Match": etag})
    assert (again.status_code, again.headers["Cache-Status"], again.data) == (304, HIT, b"")


def test_errors_are_not_kept(client, book):
    assert [client.get("/books/1").status_code for _ in range(2)] == [404, 404]
    assert cache_status(client, f"/books/{book()}") == NO_REDIS


def test_a_write_is_seen_by_the_next_read_of_every_process(make_worker):
    writer, reader = make_worker().test_client(), make_worker().test_client()
    emma = writer.post("/books", json=BOOK).json["id"]
    for number in range(1, 5):
        add_review(writer, emma)
        assert review_count(reader, emma) == number
        assert cache_status(reader, f"/books/{emma}") == HIT


def test_a_write_during_a_query_makes_its_response_stale(make_worker, book):
    app, emma = make_worker(), book()
    reader = app.test_client()
    paused, resume = pause_first_read(app)
    with ThreadPoolExecutor(1) as threads:
        slow = threads.submit(reader.get, f"/books/{emma}")
        assert paused.wait(PATIENCE)
        add_review(make_worker().test_client(), emma)
        resume.set()
        assert slow.result().json["review_count"] == 0  # it began before the write
    assert review_count(reader, emma) == 1


def test_a_write_whose_process_died_after_its_commit_is_seen(make_worker, book):
    app, emma = make_worker(), book()
    client = app.test_client()
    assert review_count(client, emma) == 0
    with app.app_context(), db.engine.begin() as connection:  # what its transaction leaves
        connection.exec_driver_sql(
            "UPDATE book SET review_count = 7, rating_sum = 21, stars_3 = 7, version = 2"
        )
        connection.exec_driver_sql(
            "INSERT INTO outbox (tags, held, created_at) "
            f"""VALUES ('["books", "book:{emma}"]', 0, '2026-01-01')"""
        )
    assert review_count(client, emma) == 7


def test_a_database_without_tables_is_a_503_as_without_a_cache(make_app, tmp_path):
    client = make_app(f"sqlite:///{tmp_path / 'empty.db'}").test_client()
    assert client.get("/books").status_code == 503


def test_no_memory_means_no_hits(make_worker):
    client = make_worker(cache_memory_mib=0).test_client()
    assert {cache_status(client) for _ in range(3)} == {NO_REDIS}


def test_an_entry_lives_no_longer_than_the_ttl(make_worker, monkeypatch):
    client = make_worker(cache_ttl=100).test_client()
    assert [cache_status(client), cache_status(client)] == [NO_REDIS, HIT]
    later = time.monotonic() + 101
    monkeypatch.setattr("app.cache.memory.time", SimpleNamespace(monotonic=lambda: later))
    assert cache_status(client) == NO_REDIS
