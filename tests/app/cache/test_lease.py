"""The lease: nothing stale is served while Redis fails, for one process or for all."""

import math
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis

from app.cache.lease import LEASE_SECONDS
from app.redis.circuit_breaker import OPEN_SECONDS
from app.redis.client import TIMEOUT_SECONDS
from app.services import services_of
from stack.servers import Redis
from tests.app.cache.steps import (
    HIT,
    add_review,
    cache_status,
    outbox_size,
    review_count,
    stale_seconds,
)
from tests.waiting import shortest, wait_until

STALE_SECONDS = LEASE_SECONDS + 0.5


@pytest.fixture
def hasty(make_app, database, server):
    """An application that waits for Redis no longer than in production, as it is frozen here."""
    return make_app(database, redis_url=server.url)


def hit(app, book):
    """Let the cache of ``app`` serve a book, so that it has a lease; return a client."""
    client = app.test_client()
    wait_until(lambda: cache_status(client, f"/books/{book}") == HIT)
    return client


def test_readers_wait_together_for_a_frozen_redis(server, hasty, book):
    path = f"/books/{book()}"

    def read_while_frozen():
        wait_until(lambda: cache_status(hasty.test_client(), path) == HIT)
        services_of(hasty).redis.on_lost()  # ends the lease, so the next reader renews it
        server.freeze()
        began = time.monotonic()
        try:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: cache_status(hasty.test_client(), path), range(8)))
        finally:
            server.thaw()
        return time.monotonic() - began

    one_by_one = 8 * TIMEOUT_SECONDS
    assert shortest(read_while_frozen, one_by_one) < one_by_one


def kill(server: Redis) -> None:
    server.kill()


def freeze(server: Redis) -> None:
    server.freeze()


def change_password(server: Redis) -> None:
    with redis.Redis.from_url(server.url, single_connection_client=True) as connection:
        connection.config_set("requirepass", "another")
        connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


FAULTS = [kill, freeze, change_password]


@pytest.mark.parametrize("fault", FAULTS)
def test_without_redis_reads_and_writes_continue_and_soon_do_not_wait(fault, server, hasty, book):
    emma = book()
    client = hit(hasty, emma)
    fault(server)
    try:
        assert review_count(client, emma) == 0  # perhaps after a timeout
        add_review(client, emma)
        response = client.get(f"/books/{emma}")
        assert response.json["review_count"] == 1
        assert response.headers["Cache-Status"].startswith("bookstall; fwd=bypass; detail=redis-")
        assert not services_of(hasty).redis.breaker.closed
        assert client.get("/readyz").json["status"] == "degraded"
        assert client.get("/readyz").status_code == 200
        assert outbox_size(hasty) == 1
    finally:
        server.thaw()


def test_only_one_request_waits_for_a_frozen_redis(server, hasty, book):
    emma = book()
    client = hit(hasty, emma)
    server.freeze()
    began = time.monotonic()
    try:
        statuses = [cache_status(client, f"/books/{emma}") for _ in range(20)]
    finally:
        server.thaw()
    periods = (time.monotonic() - began) / OPEN_SECONDS
    waited = [status for status in statuses if status.endswith("redis-timeout")]
    assert statuses[0].endswith("redis-timeout")
    # The breaker allows one request in each period.
    assert len(waited) <= 2 + periods
    assert statuses[-1].endswith(("redis-unavailable", "redis-timeout"))


@pytest.mark.parametrize("loads_snapshot", [True, False])
def test_a_redis_that_restarts_with_old_data_serves_nothing_stale(
    server, worker, make_worker, book, loads_snapshot
):
    reader = make_worker().test_client()
    writer = worker.test_client()
    emma = book()
    assert [review_count(reader, emma), review_count(writer, emma)] == [0, 0]
    server.save()
    add_review(writer, emma)  # Redis receives the invalidation, its snapshot does not
    assert review_count(reader, emma) == 1
    server.kill()
    add_review(writer, emma)  # Redis does not receive it at all
    if not loads_snapshot:
        server.wipe()
    server.start()
    assert review_count(reader, emma) == 2
    assert review_count(writer, emma) == 2
    wait_until(lambda: cache_status(reader, f"/books/{emma}") == HIT)
    assert review_count(reader, emma) == 2
    assert outbox_size(worker) == 0


def test_a_thawed_redis_serves_nothing_stale(server, worker, hasty, book):
    reader, writer = worker.test_client(), hasty.test_client()
    emma = book()

    def write_while_frozen():
        server.freeze()
        try:
            add_review(writer, emma)
        finally:
            server.thaw()

    def stale():
        before = review_count(reader, emma)
        seconds = stale_seconds(write_while_frozen, reader, emma)
        hit(worker, emma)
        assert review_count(reader, emma) == before + 1
        hit(hasty, emma)
        assert outbox_size(worker) == 0
        return seconds

    assert shortest(stale, STALE_SECONDS) <= STALE_SECONDS


def test_the_reader_delivers_for_a_writer_that_cannot_reach_redis(worker, make_app, database, book):
    """The partial outage: the writer cannot reach Redis, and a reader can."""
    reader = worker.test_client()
    emma = book()
    cut_off = make_app(database, redis_url="redis://127.0.0.1:1/0").test_client()

    def stale():
        before = review_count(reader, emma)
        wait_until(lambda: cache_status(reader, f"/books/{emma}") == HIT)
        seconds = stale_seconds(lambda: add_review(cut_off, emma), reader, emma)
        statuses = [cache_status(reader, f"/books/{emma}")]
        while statuses[-1] != HIT:
            statuses.append(cache_status(reader, f"/books/{emma}"))
        assert review_count(reader, emma) == before + 1
        assert outbox_size(worker) == 0
        # A busy machine may read again only after the recovery.
        return seconds if statuses[0].endswith("redis-recovering") else math.inf

    assert shortest(stale, STALE_SECONDS) <= STALE_SECONDS


def test_nothing_stale_is_served_while_the_breaker_of_a_writer_is_open(
    server, worker, make_worker, book
):
    """After an outage the breaker of a writer may be open while a reader uses Redis again."""
    reader, writer = make_worker().test_client(), worker.test_client()
    emma = book()
    server.kill()
    add_review(writer, emma)
    server.start()
    for expected in range(1, 20):
        assert review_count(reader, emma) == expected
        add_review(writer, emma)
    wait_until(lambda: cache_status(reader, f"/books/{emma}") == HIT)
    assert review_count(reader, emma) == 20
    assert outbox_size(worker) == 0
