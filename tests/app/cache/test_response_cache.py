"""Entries and tag versions in Redis: lost, evicted, refused, or from another run of the server."""

from app.cache.response_cache import VERSION_BYTES
from app.redis.client import RedisClient
from app.services import services_of
from stack.servers import Redis
from tests.app.cache.steps import (
    HIT,
    STORED,
    add_review,
    cache_status,
    execute,
    outbox_size,
    review_count,
)
from tests.waiting import patient, wait_until


def test_a_promoted_replica_begins_empty(server, worker, book):
    emma = book()
    client = worker.test_client()
    cache_status(client, f"/books/{emma}")
    with Redis() as other:
        password = server.url.split(":")[2].split("@")[0]
        execute(other, "CONFIG", "SET", "masterauth", password)
        execute(other, "REPLICAOF", "127.0.0.1", server.port)
        wait_until(lambda: len(execute(other, "KEYS", "*:e:*")) == 1)
        execute(other, "REPLICAOF", "NO", "ONE")
        connection = RedisClient(patient(other.url)).connection()
    assert connection.run_id != services_of(worker).redis.connection().run_id


def test_a_demoted_redis_is_not_used(server, client, book):
    emma = book()
    cache_status(client, f"/books/{emma}")
    execute(server, "REPLICAOF", "127.0.0.1", "1")
    wait_until(lambda: "fwd=bypass" in cache_status(client, f"/books/{emma}"))
    execute(server, "REPLICAOF", "NO", "ONE")
    wait_until(lambda: cache_status(client, f"/books/{emma}") == HIT)


def test_a_full_redis_causes_no_error_and_serves_nothing_stale(server, client, worker, book):
    emma = book()
    assert cache_status(client, f"/books/{emma}") == STORED
    execute(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    execute(server, "CONFIG", "SET", "maxmemory", "1")
    assert cache_status(client, f"/books/{emma}") == HIT
    add_review(client, emma)
    assert outbox_size(worker) == 0  # an invalidation deletes, which a full Redis still does
    assert review_count(client, emma) == 1
    assert cache_status(client, f"/books/{emma}") == "bookstall; fwd=miss; detail=redis-full"
    execute(server, "CONFIG", "SET", "maxmemory", "0")
    assert cache_status(client, f"/books/{emma}") == STORED


def test_a_redis_that_refuses_writes_is_not_trusted(server, client, worker, book):
    """For example because its disk is full: it still reads, but does not delete."""
    emma = book()
    cache_status(client, f"/books/{emma}")
    execute(server, "CONFIG", "SET", "min-replicas-to-write", "3")
    add_review(client, emma)
    assert review_count(client, emma) == 1
    assert outbox_size(worker) == 1
    execute(server, "CONFIG", "SET", "min-replicas-to-write", "0")
    wait_until(lambda: cache_status(client, f"/books/{emma}") == HIT)
    assert review_count(client, emma) == 1


def test_a_flushed_redis_is_filled_again(server, client, book):
    emma = book()
    cache_status(client, f"/books/{emma}")
    execute(server, "FLUSHALL")
    assert cache_status(client, f"/books/{emma}") == STORED
    assert cache_status(client, f"/books/{emma}") == HIT


def test_evicted_tags_cause_misses_not_stale_responses(server, client, book):
    emma = book()
    cache_status(client, f"/books/{emma}")
    tags = execute(server, "KEYS", "*:t:*")
    execute(server, "DEL", *tags)
    assert cache_status(client, f"/books/{emma}") == STORED


def test_an_entry_of_another_program_is_a_miss(server, client, book):
    emma = book()
    cache_status(client, f"/books/{emma}")
    (key,) = execute(server, "KEYS", "*:e:*")
    versions = execute(server, "GET", key)[: 2 * VERSION_BYTES]
    for rubbish in (b"rubbish", versions, versions + b"rubbish"):
        execute(server, "SET", key, rubbish)
        assert cache_status(client, f"/books/{emma}") == STORED


def test_no_entry_outlives_the_ttl(server, make_app, database):
    client = make_app(database, redis_url=patient(server.url), cache_ttl=100).test_client()
    client.get("/books")
    entries, tags = (
        [execute(server, "TTL", key) for key in execute(server, "KEYS", f"*:{kind}:*")]
        for kind in "et"
    )
    assert 0 < max(entries) <= 100
    assert max(entries) <= min(tags) <= 200
