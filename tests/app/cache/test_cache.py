"""The cache on a real Redis: misses, hits, invalidation, and every way for Redis to be away."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event, Lock
from typing import Any

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from app.cache.backend import VERSION_BYTES
from app.cache.lease import HOLD_SECONDS, LEASE_SECONDS
from app.cache.tags import commit_and_forget
from app.db.engine import unbegun
from app.extensions import db
from app.redis.circuit_breaker import OPEN_SECONDS
from app.redis.client import TIMEOUT_SECONDS, RedisLink
from stack.servers import Redis

ROOT = Path(__file__).parents[3]
HIT = "bookstall; hit"
STORED = "bookstall; fwd=miss; stored"
BOOK = {"title": "Emma", "author": "Jane Austen"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}


@pytest.fixture
def server() -> Iterator[Redis]:
    """A Redis of the test's own, to be ill-treated."""
    with Redis() as server:
        yield server


@pytest.fixture
def make_worker(
    make_app: Callable[..., Flask], database: str, server: Redis
) -> Callable[[], Flask]:
    """A factory of applications on one database and one Redis, as several workers are."""
    return lambda: make_app(database, redis_url=server.url)


@pytest.fixture
def worker(make_worker: Callable[[], Flask]) -> Flask:
    return make_worker()


@pytest.fixture
def client(worker: Flask) -> FlaskClient:
    return worker.test_client()


def outcome(client: FlaskClient, path: str = "/books") -> str:
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.headers["Cache-Status"]


def count_of(client: FlaskClient, book: int) -> int:
    return int(client.get(f"/books/{book}").json["review_count"])


def add_review(client: FlaskClient, book: int) -> None:
    assert client.post(f"/books/{book}/reviews", json=REVIEW).status_code == 201


def waiting(app: Flask) -> int:
    """Count the invalidations in the outbox."""
    with app.app_context(), db.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT count(*) FROM outbox").scalar_one())


def until(holds: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait until ``holds``; return the seconds that it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)
    return time.monotonic() - began


def test_the_first_read_is_a_miss_that_fills_and_the_second_a_hit(client, book):
    emma = book()
    missed, hit = client.get(f"/books/{emma}"), client.get(f"/books/{emma}")
    assert [missed.headers["Cache-Status"], hit.headers["Cache-Status"]] == [STORED, HIT]
    told = ("ETag", "Content-Type", "Content-Length", "Vary", "Link")
    assert missed.data == hit.data
    assert [missed.headers.get(n) for n in told] == [hit.headers.get(n) for n in told]


def test_a_hit_asks_the_database_nothing(client, worker, book):
    emma = book()
    client.get(f"/books/{emma}")
    with worker.app_context():
        engines = db.engine, unbegun()
    asked = []
    for engine in engines:
        event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    assert outcome(client, f"/books/{emma}") == HIT
    assert asked == []


def test_pages_filters_and_encodings_are_kept_apart(client, book):
    for number in range(30):
        book(title=f"A title that is long enough to be worth compressing, part {number}")
    paths = ("/books", "/books?limit=1", "/books?q=part%2017", "/books?include_total=true")
    assert {outcome(client, path) for path in paths} == {STORED}
    zipped = client.get("/books", headers={"Accept-Encoding": "gzip"})
    assert zipped.headers["Cache-Status"] == STORED
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert {outcome(client, path) for path in paths} == {HIT}
    assert "Content-Encoding" not in client.get("/books").headers


def test_the_order_of_the_query_does_not_matter(client):
    assert outcome(client, "/books?limit=5&include_total=true") == STORED
    assert outcome(client, "/books?include_total=true&limit=5") == HIT


def test_head_and_get_share_an_answer(client):
    head = client.head("/books")
    got = client.get("/books")
    assert head.headers["Cache-Status"] == STORED
    assert got.headers["Cache-Status"] == HIT
    assert (head.headers["ETag"], head.data) == (got.headers["ETag"], b"")


def test_options_neither_fills_the_cache_nor_is_answered_from_it(client):
    assert "GET" in client.options("/books").headers["Allow"]
    assert client.get("/books").json["items"] == []
    assert "GET" in client.options("/books").headers["Allow"]
    assert client.get("/books").headers["Cache-Status"] == HIT


def test_two_databases_on_one_redis_do_not_share_answers(
    server, make_app, sqlite_database, postgres_database
):
    first = make_app(sqlite_database, redis_url=server.url).test_client()
    other = make_app(postgres_database, redis_url=server.url).test_client()
    assert first.post("/books", json=BOOK).status_code == 201
    assert [len(c.get("/books").json["items"]) for c in (first, other)] == [1, 0]


def test_a_promoted_replica_begins_empty(server, worker, book):
    emma = book()
    client = worker.test_client()
    outcome(client, f"/books/{emma}")
    with Redis() as other:
        password = server.url.split(":")[2].split("@")[0]
        ask(other, "CONFIG", "SET", "masterauth", password)
        ask(other, "REPLICAOF", "127.0.0.1", server.port)
        until(lambda: len(ask(other, "KEYS", "*:e:*")) == 1, 20)
        ask(other, "REPLICAOF", "NO", "ONE")
        link = RedisLink(other.url).link()
    assert link.run_id != worker.extensions["bookstall_cache"].redis.server.link().run_id


def test_a_demoted_redis_is_not_used(server, client, book):
    emma = book()
    outcome(client, f"/books/{emma}")
    ask(server, "REPLICAOF", "127.0.0.1", "1")
    until(lambda: "fwd=bypass" in outcome(client, f"/books/{emma}"))
    ask(server, "REPLICAOF", "NO", "ONE")
    until(lambda: outcome(client, f"/books/{emma}") == HIT)


def test_readers_wait_together_for_a_frozen_redis(server, worker, book):
    emma = book()
    outcome(worker.test_client(), f"/books/{emma}")
    worker.extensions["bookstall_cache"].redis.server.on_lost()  # the lease is to be renewed
    server.freeze()
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: outcome(worker.test_client(), f"/books/{emma}"), range(8)))
    finally:
        server.thaw()
    assert time.monotonic() - began < 8 * TIMEOUT_SECONDS


def test_a_hit_answers_304_to_who_has_it(client):
    etag = client.get("/books").headers["ETag"]
    again = client.get("/books", headers={"If-None-Match": etag})
    assert (again.status_code, again.headers["Cache-Status"], again.data) == (304, HIT, b"")


def test_a_book_that_is_not_there_is_not_remembered(client, book):
    assert client.get("/books/1").status_code == 404
    assert client.get("/books/1").headers["Cache-Status"] == "bookstall; fwd=miss"
    assert outcome(client, f"/books/{book()}") == STORED


def test_a_write_is_seen_by_the_next_read_of_every_worker(make_worker):
    writer, reader = make_worker().test_client(), make_worker().test_client()
    emma = writer.post("/books", json=BOOK).json["id"]
    for expected in range(1, 30):
        assert count_of(reader, emma) == expected - 1
        assert len(reader.get(f"/books/{emma}/reviews?limit=100").json["items"]) == expected - 1
        add_review(writer, emma)
        assert reader.get("/books").json["items"][0]["review_count"] == expected


def test_a_write_leaves_other_books_cached(client, book):
    emma, other = book(), book()
    outcome(client, f"/books/{other}/reviews")
    add_review(client, emma)
    assert outcome(client, f"/books/{other}/reviews") == HIT


def test_a_write_that_redis_heard_of_leaves_nothing_in_the_outbox(client, worker, book):
    add_review(client, book())
    assert waiting(worker) == 0


def hold_first_read(app: Flask) -> tuple[Event, Event]:
    """Hold the first read of a book after its query; return its sign, and the one it waits for."""
    read, written = Event(), Event()

    def hold(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM book" in statement and not read.is_set():
            read.set()
            assert written.wait(5)

    with app.app_context():
        event.listen(unbegun(), "after_cursor_execute", hold)
    return read, written


def test_a_slow_reader_cannot_put_the_old_answer_back(worker, make_worker, book):
    """It has read the database before the write, and fills the cache after it."""
    emma = book()
    slow = make_worker()
    read, written = hold_first_read(slow)
    with ThreadPoolExecutor() as pool:
        old = pool.submit(count_of, slow.test_client(), emma)
        assert read.wait(5)
        add_review(worker.test_client(), emma)
        written.set()
        assert old.result() == 0
    assert count_of(slow.test_client(), emma) == 1
    assert count_of(worker.test_client(), emma) == 1


def test_a_hundred_simultaneous_misses_cost_one_query(worker, book):
    emma = book()
    together, lock, asked = Barrier(100), Lock(), []

    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM book" in statement:
            with lock:
                asked.append(statement)
            time.sleep(0.05)  # a query that takes long enough for all to arrive

    with worker.app_context():
        event.listen(unbegun(), "after_cursor_execute", count)

    def read() -> bytes:
        client = worker.test_client()
        together.wait()
        return client.get(f"/books/{emma}").data

    with ThreadPoolExecutor(100) as pool:
        answers = [future.result() for future in [pool.submit(read) for _ in range(100)]]
    assert len(set(answers)) == 1
    assert len(asked) == 1


def test_nobody_is_handed_the_answer_of_a_query_from_before_a_write_they_know_of(worker, book):
    """A second reader comes after the write, while the first one's query still runs."""
    emma = book()
    read, written = hold_first_read(worker)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(count_of, worker.test_client(), emma)
        assert read.wait(5)
        add_review(worker.test_client(), emma)
        second = pool.submit(count_of, worker.test_client(), emma)
        assert second.result(5) == 1
        written.set()
        assert first.result() == 0


def test_a_failure_is_told_to_each_waiting_reader_with_an_id_of_its_own(worker):
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: worker.test_client().get("/books/9"), range(20)))
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.json["request_id"] for answer in answers}) == 20


def break_kill(server: Redis) -> None:
    server.kill()


def break_freeze(server: Redis) -> None:
    server.freeze()


def break_refuse(server: Redis) -> None:
    with redis.Redis.from_url(server.url, single_connection_client=True) as connection:
        connection.config_set("requirepass", "another")
        connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


BREAKS = [break_kill, break_freeze, break_refuse]


@pytest.mark.parametrize("break_it", BREAKS)
def test_without_redis_reads_and_writes_go_on_and_soon_do_not_wait(
    break_it, server, worker, client, book
):
    emma = book()
    count_of(client, emma)
    break_it(server)
    try:
        assert count_of(client, emma) == 0  # perhaps after a time-out
        add_review(client, emma)
        answer = client.get(f"/books/{emma}")
        assert answer.json["review_count"] == 1
        assert answer.headers["Cache-Status"].startswith("bookstall; fwd=bypass; detail=redis-")
        assert not worker.extensions["bookstall_cache"].redis.breaker.closed
        assert client.get("/readyz").json["status"] == "degraded"
        assert client.get("/readyz").status_code == 200
        assert waiting(worker) == 1
    finally:
        server.thaw()


def test_a_frozen_redis_is_waited_for_once_not_by_every_request(server, client, book):
    emma = book()
    count_of(client, emma)
    server.freeze()
    try:
        outcomes = [outcome(client, f"/books/{emma}") for _ in range(20)]
    finally:
        server.thaw()
    waited = [o for o in outcomes if o.endswith("redis-timeout")]
    assert outcomes[0].endswith("redis-timeout")
    # Twenty reads take less than the second after which the breaker lets one through.
    assert len(waited) <= 2
    assert outcomes[-1].endswith(("redis-away", "redis-timeout"))


@pytest.mark.parametrize("remembers", [True, False])
def test_a_redis_that_comes_back_with_its_old_memory_serves_nothing_old(
    server, worker, make_worker, book, remembers
):
    reader = make_worker().test_client()
    writer = worker.test_client()
    emma = book()
    assert [count_of(reader, emma), count_of(writer, emma)] == [0, 0]
    server.save()
    add_review(writer, emma)  # heard of by Redis, and not by its memory on disk
    assert count_of(reader, emma) == 1
    server.kill()
    add_review(writer, emma)  # not heard of at all
    if not remembers:
        server.wipe()
    server.start()
    assert count_of(reader, emma) == 2
    assert count_of(writer, emma) == 2
    until(lambda: outcome(reader, f"/books/{emma}") == HIT)
    assert count_of(reader, emma) == 2
    assert waiting(worker) == 0


def test_a_thawed_redis_serves_nothing_old(server, worker, make_worker, book):
    reader, writer = make_worker().test_client(), worker.test_client()
    emma = book()
    assert count_of(reader, emma) == 0
    server.freeze()
    try:
        add_review(writer, emma)
    finally:
        server.thaw()
    seen = []
    stale_for = until(lambda: seen.append(count_of(reader, emma)) or seen[-1] == 1)
    assert stale_for <= LEASE_SECONDS + 0.5
    until(lambda: outcome(reader, f"/books/{emma}") == HIT, OPEN_SECONDS + 5)
    assert count_of(reader, emma) == 1
    until(lambda: outcome(writer, f"/books/{emma}") == HIT, OPEN_SECONDS + 5)
    assert waiting(worker) == 0


def test_a_writer_cut_off_from_redis_is_covered_by_the_reader(worker, make_app, database, book):
    """The partial outage: the writer cannot reach Redis, and a reader can."""
    reader = worker.test_client()
    emma = book()
    cut_off = make_app(database, redis_url="redis://127.0.0.1:1/0").test_client()
    assert count_of(reader, emma) == 0
    assert outcome(reader, f"/books/{emma}") == HIT
    add_review(cut_off, emma)
    stale_for = until(lambda: count_of(reader, emma) == 1)
    assert stale_for <= LEASE_SECONDS + 0.5
    assert outcome(reader, f"/books/{emma}").endswith("redis-recovering")
    until(lambda: outcome(reader, f"/books/{emma}") == HIT, HOLD_SECONDS + 5)
    assert count_of(reader, emma) == 1
    assert waiting(worker) == 0


def test_nothing_old_is_served_while_a_writer_does_not_ask_redis_again_yet(
    server, worker, make_worker, book
):
    """After an outage the breaker of a writer may be open while a reader uses Redis again."""
    reader, writer = make_worker().test_client(), worker.test_client()
    emma = book()
    server.kill()
    add_review(writer, emma)
    server.start()
    for expected in range(1, 20):
        assert count_of(reader, emma) == expected
        add_review(writer, emma)
    until(lambda: outcome(reader, f"/books/{emma}") == HIT, HOLD_SECONDS + 5)
    assert count_of(reader, emma) == 20
    assert waiting(worker) == 0


def test_a_writer_without_redis_is_covered_by_the_reader(worker, make_app, database, book):
    reader = worker.test_client()
    emma = book()
    assert count_of(reader, emma) == 0
    add_review(make_app(database).test_client(), emma)
    assert until(lambda: count_of(reader, emma) == 1) <= LEASE_SECONDS + 0.5


DYING_WRITER = """
import os, signal, sys
from app.config import Settings, database_url
from app.factory import create_app
from app.cache.backend import RedisCache

RedisCache.forget = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
url, redis_url, book = sys.argv[1:]
settings = Settings(database_url=database_url(url), redis_url=redis_url, secret_key="any")
create_app(settings).test_client().post(
    f"/books/{book}/reviews", json={"rating": 4, "reviewer": "Ana", "text": "My last words."}
)
"""


def test_a_writer_killed_between_commit_and_invalidation_is_covered_by_the_reader(
    server, client, worker, database, book
):
    emma = book()
    assert count_of(client, emma) == 0
    words = [sys.executable, "-c", DYING_WRITER, database, server.url, str(emma)]
    died = subprocess.run(words, check=False, cwd=ROOT)
    assert died.returncode == -signal.SIGKILL
    assert until(lambda: count_of(client, emma) == 1) <= LEASE_SECONDS + 0.5
    assert waiting(worker) == 0


def test_a_full_redis_makes_no_error_and_serves_nothing_old(server, client, worker, book):
    emma = book()
    assert outcome(client, f"/books/{emma}") == STORED
    ask(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    ask(server, "CONFIG", "SET", "maxmemory", "1")
    assert outcome(client, f"/books/{emma}") == HIT
    add_review(client, emma)
    assert waiting(worker) == 0  # to invalidate is to delete, which a full Redis still does
    assert count_of(client, emma) == 1
    assert outcome(client, f"/books/{emma}") == "bookstall; fwd=miss; detail=redis-full"
    ask(server, "CONFIG", "SET", "maxmemory", "0")
    assert outcome(client, f"/books/{emma}") == STORED


def test_a_redis_that_refuses_writes_is_not_trusted(server, client, worker, book):
    """As one does whose disk is full: it reads, and will not delete."""
    emma = book()
    outcome(client, f"/books/{emma}")
    ask(server, "CONFIG", "SET", "min-replicas-to-write", "3")
    add_review(client, emma)
    assert count_of(client, emma) == 1
    assert waiting(worker) == 1
    ask(server, "CONFIG", "SET", "min-replicas-to-write", "0")
    until(lambda: outcome(client, f"/books/{emma}") == HIT)
    assert count_of(client, emma) == 1


def test_a_flushed_redis_is_filled_again(server, client, book):
    emma = book()
    outcome(client, f"/books/{emma}")
    ask(server, "FLUSHALL")
    assert outcome(client, f"/books/{emma}") == STORED
    assert outcome(client, f"/books/{emma}") == HIT


def test_evicted_tags_make_misses_not_stale_answers(server, client, book):
    emma = book()
    outcome(client, f"/books/{emma}")
    tags = ask(server, "KEYS", "*:t:*")
    ask(server, "DEL", *tags)
    assert outcome(client, f"/books/{emma}") == STORED


def test_rubbish_in_redis_is_a_miss(server, client, book):
    emma = book()
    outcome(client, f"/books/{emma}")
    (key,) = ask(server, "KEYS", "*:e:*")
    versions = ask(server, "GET", key)[: 2 * VERSION_BYTES]
    for rubbish in (b"rubbish", versions, versions + b"rubbish"):
        ask(server, "SET", key, rubbish)
        assert outcome(client, f"/books/{emma}") == STORED


def test_no_entry_outlives_the_ttl(server, make_app, database):
    client = make_app(database, redis_url=server.url, cache_ttl=7).test_client()
    client.get("/books")
    entries, tags = (
        [ask(server, "TTL", key) for key in ask(server, "KEYS", f"*:{kind}:*")] for kind in "et"
    )
    assert 0 < max(entries) <= 7
    assert max(entries) <= min(tags) <= 14


def test_other_secrets_and_releases_do_not_share_entries(server, database, make_app, book):
    """Their cursors would be refused by each other."""
    first = make_app(database, redis_url=server.url).test_client()
    other = make_app(database, redis_url=server.url, secret_key="another secret").test_client()
    assert [outcome(first), outcome(other)] == [STORED, STORED]


def test_more_invalidations_than_one_batch_are_all_delivered(server, worker, make_app, database):
    writer, reader = make_app(database).test_client(), worker.test_client()
    books = [writer.post("/books", json=BOOK).json["id"] for _ in range(520)]
    assert waiting(worker) == 520
    assert outcome(reader, f"/books/{books[0]}") == STORED
    assert waiting(worker) == 0


def test_a_write_that_concerns_too_much_invalidates_everything(server, worker, book):
    emma = book()
    client = worker.test_client()
    outcome(client, f"/books/{emma}")
    with worker.app_context():
        commit_and_forget(*(f"book:{number}" for number in range(1000, 4000)))
    assert outcome(client, f"/books/{emma}") == STORED
    assert outcome(client, f"/books/{emma}") == HIT


def test_without_redis_old_rows_of_the_outbox_are_removed(make_app, database):
    app = make_app(database)
    client = app.test_client()
    client.post("/books", json=BOOK)
    with app.app_context(), db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET created_at = '2020-01-01 00:00:00'")
    app.extensions.pop("bookstall_purge_at")
    client.post("/books", json=BOOK)
    assert waiting(app) == 1


def ask(server: Redis, *words: Any) -> Any:
    with redis.Redis.from_url(server.url) as connection:
        return connection.execute_command(*words)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """These tests are about Redis; the torture of the suite runs on PostgreSQL."""
    return str(request.getfixturevalue("sqlite_database"))
