"""The Redis client: responses, refusals, time limits, lost connections."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
import redis
from redis.exceptions import ResponseError

from app.redis.client import PRIVATE_NAMES, TIMEOUT_SECONDS, RedisClient, RedisUnavailable
from stack.servers import Redis
from tests.app.redis.steps import connected_client
from tests.waiting import PATIENCE, patient, shortest


@pytest.fixture
def server() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_redis_py_has_the_names_that_the_client_relies_on(name):
    module, _, path = name.partition(":")
    owner, _, attribute = path.partition(".")
    found = getattr(import_module(module), owner)
    assert hasattr(found, attribute) or hasattr(found(), attribute), (
        f"redis-py {redis.__version__} no longer has {name}: see app/redis/client.py"
    )


def test_several_commands_are_sent_in_one_round_trip_and_a_refusal_is_a_value(redis_url):
    client = RedisClient(redis_url)
    refused, pong = client.send(client.connection(), [["NO-SUCH-COMMAND"], ["PING"]])
    assert isinstance(refused, ResponseError)
    assert pong == b"PONG"
    assert client.breaker.closed
    client.close()


def test_a_command_that_must_succeed_opens_the_breaker_when_it_is_refused(redis_url):
    client, lost = RedisClient(redis_url), []
    client.on_lost = lambda: lost.append(1)
    with pytest.raises(RedisUnavailable, match="refused"):
        client.execute(client.connection(), ["NO-SUCH-COMMAND"])
    assert not client.breaker.closed
    assert lost == [1]


def test_each_thread_has_a_connection_and_keeps_it(redis_url):
    client = RedisClient(redis_url)
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(client.connection).result()
        assert pool.submit(client.connection).result() is other
    assert client.connection() is client.connection()
    assert client.connection() is not other


def test_a_frozen_server_costs_one_timeout(server):
    def seconds():
        client = connected_client(server.url)
        connection = client.connection()
        server.freeze()
        began = time.monotonic()
        try:
            with pytest.raises(RedisUnavailable, match="timeout"):
                client.send(connection, [["PING"]])
        finally:
            server.thaw()
        assert not client.breaker.closed
        return time.monotonic() - began

    assert TIMEOUT_SECONDS <= shortest(seconds, 2 * TIMEOUT_SECONDS) < 3 * TIMEOUT_SECONDS


def test_a_command_that_blocks_may_have_a_longer_timeout(server):
    client = connected_client(server.url)
    blocking = ["BLPOP", "no such list of the tests", 3 * TIMEOUT_SECONDS]
    assert client.execute(client.connection(), blocking, timeout=PATIENCE) is None


def test_a_closed_connection_is_retried_once_on_a_new_one(server):
    client, lost = RedisClient(patient(server.url)), []
    client.on_lost = lambda: lost.append(1)
    client.connection()
    with redis.Redis.from_url(server.url) as other:
        other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert client.with_retry(lambda: client.execute(client.connection(), ["PING"])) == b"PONG"
    assert lost == [1]
    assert client.breaker.closed


def test_a_restarted_server_has_another_run_id(server):
    client = RedisClient(patient(server.url))
    before = client.connection()
    client.verify_master()
    server.save()
    server.kill()
    server.start()
    with pytest.raises(RedisUnavailable, match="reconnecting"):
        client.verify_master()
    assert client.connection().run_id != before.run_id
    client.verify_master()


def test_a_replica_is_refused(server):
    client = RedisClient(patient(server.url))
    connection = client.connection()
    client.execute(connection, ["REPLICAOF", "127.0.0.1", "1"])
    with pytest.raises(RedisUnavailable):
        client.verify_master()
    with pytest.raises(RedisUnavailable, match="unreachable"):
        client.connection()


def test_an_unreachable_server_is_reported_at_once():
    client = RedisClient("redis://127.0.0.1:1/0")
    with pytest.raises(RedisUnavailable, match="unreachable"):
        client.connection()
    assert not client.breaker.closed


def test_a_master_that_becomes_a_replica_is_left(server):
    """Nothing has closed the connection: Sentinel does, but not whoever sends REPLICAOF."""
    client = RedisClient(patient(server.url))
    before = client.connection()
    client.execute(before, ["REPLICAOF", "127.0.0.1", "1"])
    with pytest.raises(RedisUnavailable, match="refused"):
        client.execute(before, ["DEL", "any"])
    client.breaker.record_success()
    with redis.Redis.from_url(server.url) as other:
        other.execute_command("REPLICAOF", "NO", "ONE")
    assert client.connection().run_id != before.run_id
