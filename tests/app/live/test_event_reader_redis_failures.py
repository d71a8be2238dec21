"""The event reader while Redis fails: still every event once, in order."""

from collections.abc import Iterator

import pytest
import redis

from app.live import event_reader
from app.services import services_of
from stack.servers import Redis
from tests.app.live.event_listener import (
    DATABASE_SECONDS,
    add_review,
    announce,
    execute_redis,
    log_name,
    wait_for_blocked,
    write_event,
)
from tests.waiting import PATIENCE, wait_until


def dead(redis_server: Redis) -> Iterator[None]:
    redis_server.kill()
    yield
    redis_server.start()


def frozen(redis_server: Redis) -> Iterator[None]:
    redis_server.freeze()
    yield
    redis_server.thaw()


def restarted_empty(redis_server: Redis) -> Iterator[None]:
    redis_server.save()
    yield
    redis_server.kill()
    redis_server.wipe()
    redis_server.start()


def restarted_with_its_old_memory(redis_server: Redis) -> Iterator[None]:
    redis_server.save()
    yield
    redis_server.kill()
    redis_server.start()


def full(redis_server: Redis) -> Iterator[None]:
    execute_redis(redis_server, "CONFIG", "SET", "maxmemory", "1")
    yield
    execute_redis(redis_server, "CONFIG", "SET", "maxmemory", "0")


def refusing(redis_server: Redis) -> Iterator[None]:
    with redis.Redis.from_url(redis_server.url, single_connection_client=True) as connection:
        connection.config_set("requirepass", "another")
        connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        yield
        connection.config_set("requirepass", redis_server.password)


def flushed(redis_server: Redis) -> Iterator[None]:
    execute_redis(redis_server, "FLUSHALL")
    yield
    execute_redis(redis_server, "FLUSHALL")


def cut(redis_server: Redis) -> Iterator[None]:
    execute_redis(redis_server, "CLIENT", "KILL", "TYPE", "normal")
    yield
    execute_redis(redis_server, "CLIENT", "KILL", "TYPE", "normal")


def of_another_type(redis_server: Redis) -> Iterator[None]:
    (key,) = execute_redis(redis_server, "KEYS", "bookstall:*:changes")
    execute_redis(redis_server, "DEL", key)
    execute_redis(redis_server, "SET", key, "rubbish")
    yield
    execute_redis(redis_server, "DEL", key)


FAILURES = [
    dead,
    frozen,
    restarted_empty,
    restarted_with_its_old_memory,
    full,
    refusing,
    flushed,
    cut,
    of_another_type,
]


@pytest.mark.parametrize("failure", FAILURES)
def test_all_events_arrive_once_and_in_order_whatever_happens_to_redis(
    failure, worker, redis_server, listen
):
    listener = listen(worker)
    wait_for_blocked(redis_server)
    for _ in range(3):
        add_review(worker)
    listener.wait_for(3)
    announce(worker, log_name(worker), listener.events[-1])  # if its writer had no time for it
    steps = failure(redis_server)
    next(steps)
    waits = []
    for number in range(4, 9):
        add_review(worker)
        waits.append(listener.wait_for(number))
    assert min(waits) < DATABASE_SECONDS
    for _ in range(3):
        add_review(worker)
    next(steps, None)
    for _ in range(3):
        add_review(worker)
    listener.wait_for(14)
    wait_for_blocked(redis_server)
    wait_until(services_of(worker).redis.breaker.allow_request)
    for _ in range(3):
        add_review(worker)
    listener.wait_for(17)
    assert listener.positions == list(range(1, 18))
    assert len(listener.resets) == 1


def test_while_redis_is_unavailable_events_come_from_the_database_at_once(
    worker, redis_server, listen, monkeypatch
):
    listener = listen(worker)
    wait_for_blocked(redis_server)
    redis_server.freeze()
    try:
        write_event(worker, silent=True)
        listener.wait_for(1)  # a read has just begun: the next one is a whole interval later
        waits = []
        for number in range(2, 12):
            write_event(worker, silent=True)
            waits.append(listener.wait_for(number))
        assert min(waits) < event_reader.POLL_SECONDS / 2
    finally:
        redis_server.thaw()
    wait_for_blocked(redis_server)
    monkeypatch.setattr(event_reader, "POLL_SECONDS", 10 * PATIENCE)
    write_event(worker)
    listener.wait_for(12)
