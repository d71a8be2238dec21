"""Token counts in Redis, also while Redis is unavailable, full or has lost the script."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from flask import Flask

from app.config import Rate
from app.ratelimit.limiter import Limiter
from app.ratelimit.redis import RedisStore
from app.ratelimit.window import Window
from app.redis.circuit_breaker import OPEN_SECONDS
from app.redis.client import TIMEOUT_SECONDS, RedisClient
from app.services import services_of
from stack.servers import Redis
from tests.app.ratelimit.steps import count_admitted
from tests.waiting import patient, wait_until


@pytest.fixture
def server() -> Iterator[Redis]:
    """A Redis of the test's own."""
    with Redis() as server:
        yield server


def test_unused_tokens_of_a_lease_are_returned(redis_url, late_responses):
    window = Window(Rate(100, 120))
    window.lease_seconds = 0.1
    store = RedisStore(RedisClient(redis_url), "test", window)
    limiter = Limiter("read", window, [store])
    name = f"back {time.monotonic()}"
    for _ in range(3):
        limiter.admit(name)
        time.sleep(window.lease_seconds)
    limiter.admit(name)
    assert store.take(name, 1, None).remaining == 100 - 3 - 4 - 1


def test_the_key_of_a_client_expires(server, late_responses):
    window = Window(Rate(100, 6_000))
    RedisStore(RedisClient(patient(server.url)), "read", window).take("x", 4, None)
    with redis.Redis.from_url(server.url) as connection:
        (key,) = connection.keys("*")
        assert 6_000 <= connection.pttl(key) / 1_000 <= 6_900


@contextmanager
def hasty(workers: Sequence[Flask], server: Redis) -> Iterator[None]:
    """Let patient applications wait for Redis no longer than in production."""
    send, new_connection = RedisClient.send, RedisClient(server.url)._new_raw_connection

    def send_hastily(*arguments: Any) -> Any:
        client, connection, commands, *_ = arguments
        return send(client, connection, commands, TIMEOUT_SECONDS)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RedisClient, "send", send_hastily)
        for worker in workers:
            patch.setattr(services_of(worker).redis, "_new_raw_connection", new_connection)
        yield


@pytest.mark.parametrize("failure", ["kill", "freeze"])
def test_while_redis_is_unavailable_memory_counts_and_afterwards_redis_again(
    make_limited, server, failure, late_responses, monkeypatch
):
    url = patient(server.url)
    workers = [make_limited(redis_url=url, web_concurrency=2) for _ in range(2)]
    one, two = (worker.test_client() for worker in workers)
    assert count_admitted(one, 4) == 4
    getattr(server, failure)()
    tries, run = [], RedisStore._run
    try:
        time.sleep(1)  # leases expire
        began = time.monotonic()
        with hasty(workers, server), monkeypatch.context() as patch:
            patch.setattr(RedisStore, "_run", lambda *args: tries.append(args) or run(*args))
            assert [count_admitted(one), count_admitted(two)] == [10, 10]
        periods = 1 + (time.monotonic() - began) / OPEN_SECONDS
        # In each period a try, and another one on a new connection.
        assert len(tries) <= len(workers) * 2 * periods
    finally:
        server.start() if failure == "kill" else server.thaw()
    other = {"REMOTE_ADDR": "192.0.2.9"}

    def is_counted() -> bool:
        one.get("/books", environ_overrides=other)
        return bool(keys_of(server, "192.0.2.9"))

    wait_until(is_counted)
    time.sleep(1)
    admitted = count_admitted(one) + count_admitted(two)
    if failure == "kill":
        assert admitted == 10
    else:  # it keeps its counts, and has also counted a request for each try that timed out
        assert 6 - len(tries) <= admitted <= 6


def keys_of(server: Redis, client: str) -> list[bytes]:
    with redis.Redis.from_url(server.url) as connection:
        keys: list[bytes] = connection.keys(f"bookstall:limit:*{client}*")
        return keys


def test_with_a_full_redis_memory_counts_and_the_cache_is_used(
    make_limited, server, late_responses
):
    app = make_limited(redis_url=patient(server.url))
    client = app.test_client()
    assert count_admitted(client, 2) == 2
    with redis.Redis.from_url(server.url) as connection:
        connection.config_set("maxmemory-policy", "noeviction")
        connection.config_set("maxmemory", "1")
    other = {"REMOTE_ADDR": "192.0.2.9"}
    responses = [client.get("/books", environ_overrides=other) for _ in range(12)]
    assert [response.status_code for response in responses].count(200) == 10
    assert responses[5].headers["Cache-Status"] == "bookstall; hit"


def test_a_lost_script_is_sent_again(make_limited, server, late_responses):
    client = make_limited(redis_url=patient(server.url)).test_client()
    assert count_admitted(client, 4) == 4
    with redis.Redis.from_url(server.url) as connection:
        connection.script_flush()
    assert count_admitted(client) == 6
