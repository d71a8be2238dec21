"""Redis on the event loop: batches, time limits, lost connections."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import redis
from redis.exceptions import ResponseError

from app.redis import batched_client
from app.redis.batched_client import PRIVATE_NAMES, BatchedClient, Call
from app.redis.circuit_breaker import CircuitBreaker
from app.redis.client import TIMEOUT_SECONDS, RedisClient, RedisUnavailable, full_key
from stack.servers import Redis
from tests.app.private_names import check
from tests.waiting import PATIENCE, patient


@pytest.fixture
def server():
    with Redis() as server:
        yield server


@pytest.fixture
def client(server):
    return RedisClient(patient(server.url))


@pytest.fixture
def store(client):
    """Store values under names within the run of Redis."""

    def set_value(name, value):
        connection = client.connection()
        client.execute(connection, ["SET", full_key(connection.run_id, name), value])

    return set_value


def commands_sent(server):
    with redis.Redis.from_url(server.url) as other:
        return {name: stats["calls"] for name, stats in other.info("commandstats").items()}


@asynccontextmanager
async def closing(batched):
    try:
        yield batched
    finally:
        await batched.close()


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_redis_py_has_the_private_name(name):
    check(name, batched_client, "redis")


def test_all_that_wait_share_one_command(server, client, store):
    store("a", "1")
    store("b", "2")

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            questions = (batched.get(names, {}) for names in (["a"], ["b"], ["a", "c"]))
            return await asyncio.gather(*questions)

    one, two, both = asyncio.run(ask())
    assert one.by_key["a"] == b"1"
    assert two.by_key["b"] == b"2"
    assert (both.by_key["a"], both.by_key["c"]) == (b"1", None)
    assert {found.run_id for found in (one, two, both)} == {client.connection().run_id}
    assert commands_sent(server)["cmdstat_mget"] == 1


def test_what_is_asked_during_an_exchange_is_answered_by_a_later_one(client, store):
    store("a", "old")

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            first = asyncio.create_task(batched.get(["a"], {}))
            await asyncio.sleep(0)  # it is sent
            store("a", "new")
            second = asyncio.create_task(batched.get(["a"], {}))
            return (await second).by_key["a"], (await first).by_key["a"]

    second, first = asyncio.run(ask())
    assert second == b"new"
    assert first in {b"old", b"new"}


def test_calls_are_sent_once_for_each_name_and_may_be_refused(client):
    responses = []

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            ping, refused = Call(("PING",), responses.append), Call(("NO-SUCH",), responses.append)
            calls = {"ping": ping, "refused": refused}
            await asyncio.gather(*(batched.get(["a"], calls) for _ in range(3)))

    asyncio.run(ask())
    pong, refusal = responses
    assert pong == b"PONG"
    assert isinstance(refusal, ResponseError)
    assert client.breaker.closed


def test_it_connects_again_when_threads_do_and_when_it_is_told_to(client):
    numbers = []

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            for change in (None, client.reconnect, None, batched.reconnect, None):
                if change is not None:
                    change()
                await batched.get(["a"], {"id": Call(("CLIENT", "ID"), numbers.append)})

    asyncio.run(ask())
    first, second, same, third, again = numbers
    assert first < second == same < third == again


def test_a_call_is_not_sent_again_before_its_response(client):
    responses = []
    calls = {"ping": Call(("PING",), responses.append)}

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            first = asyncio.create_task(batched.get(["a"], calls))
            for _ in range(2):  # its task begins, and then the task that sends
                await asyncio.sleep(0)
            await asyncio.gather(first, batched.get(["a"], calls))
            during = len(responses)
            await batched.get(["a"], calls)
            return during, len(responses)

    assert asyncio.run(ask()) == (1, 2)


def test_a_request_that_is_cancelled_leaves_the_others_waiting(client, store):
    store("a", "1")

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            cancelled, kept = (asyncio.create_task(batched.get(["a"], {})) for _ in range(2))
            await asyncio.sleep(0)
            cancelled.cancel()
            return await kept

    assert asyncio.run(ask()).by_key["a"] == b"1"


@pytest.mark.parametrize("steps", range(6))
def test_a_late_event_loop_is_not_a_late_server(client, store, steps, monkeypatch):
    monkeypatch.setattr(batched_client, "GRACE_SECONDS", PATIENCE)
    store("a", "1")

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            await batched.get(["a"], {})
            waiting = asyncio.create_task(batched.get(["a"], {}))
            for _ in range(steps):  # of its task, and of the task that sends and reads
                await asyncio.sleep(0)
            loop = asyncio.get_running_loop()
            clock = loop.time
            loop.time = lambda: clock() + 2 * PATIENCE  # as if it had been blocked for so long
            return (await waiting).by_key["a"]

    assert asyncio.run(ask()) == b"1"
    assert client.breaker.closed


def test_a_frozen_server_is_waited_for_once(server, client):
    lost = []
    client.on_lost = lambda: lost.append(1)

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            await batched.get(["a"], {})
            batched._timeout = TIMEOUT_SECONDS  # that of a client that is not patient
            server.freeze()
            try:
                questions = (batched.get(["a"], {}) for _ in range(5))
                async with asyncio.timeout(PATIENCE):
                    failures = await asyncio.gather(*questions, return_exceptions=True)
                    later = await asyncio.gather(batched.get(["a"], {}), return_exceptions=True)
            finally:
                server.thaw()
            return [str(failure) for failure in failures], [str(failure) for failure in later]

    failures, later = asyncio.run(ask())
    assert failures == ["timeout"] * 5
    assert later == ["unavailable"]  # the breaker is open
    assert lost == [1]


def test_a_closed_connection_fails_its_batch_and_is_replaced(server, client, store):
    store("a", "1")
    lost = []
    client.on_lost = lambda: lost.append(1)

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            await batched.get(["a"], {})
            with redis.Redis.from_url(server.url) as other:
                other.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            with pytest.raises(RedisUnavailable, match="reconnecting"):
                await batched.get(["a"], {})
            return await batched.get(["a"], {})

    assert asyncio.run(ask()).by_key["a"] == b"1"
    assert lost == [1]
    assert client.breaker.closed


def test_a_restarted_server_gives_values_of_another_run(server, client):
    async def ask():
        async with closing(BatchedClient(client)) as batched:
            before = await batched.get(["a"], {})
            server.kill()
            server.start()
            with pytest.raises(RedisUnavailable):
                await batched.get(["a"], {})
            return before, await batched.get(["a"], {})

    before, after = asyncio.run(ask())
    assert before.run_id != after.run_id


def test_a_server_that_accepts_no_connection_is_left_alone_for_a_moment(server, client):
    with redis.Redis.from_url(server.url) as other:
        other.config_set("maxclients", 1)

        async def ask():
            batched = BatchedClient(client)
            batched._breaker = CircuitBreaker(open_seconds=PATIENCE)
            return [
                str((await asyncio.gather(batched.get(["a"], {}), return_exceptions=True))[0])
                for _ in range(3)
            ]

        assert asyncio.run(ask()) == ["reconnecting", "unavailable", "unavailable"]
    assert client.breaker.closed


def test_a_replica_is_refused(server, client):
    with redis.Redis.from_url(server.url) as other:
        other.execute_command("REPLICAOF", "127.0.0.1", "1")

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            await batched.get(["a"], {})

    with pytest.raises(RedisUnavailable):
        asyncio.run(ask())


def test_an_unexpected_error_leaves_nobody_waiting(client, monkeypatch):
    async def fail(_):
        raise ZeroDivisionError

    async def ask():
        async with closing(BatchedClient(client)) as batched:
            monkeypatch.setattr(batched, "_exchange", fail)
            async with asyncio.timeout(PATIENCE):
                return await asyncio.gather(batched.get(["a"], {}), return_exceptions=True)

    (error,) = asyncio.run(ask())
    assert isinstance(error, ZeroDivisionError)
