"""The API of Flask-Caching on the backend that CACHE_TYPE names."""

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from app.extensions import cache
from stack.servers import Redis
from tests.app.cache.steps import HIT, STORED, cache_status, execute
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def context(worker):
    with worker.app_context():
        yield


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "Überraschung", [1, [2, "3"]], {"a": {"b": [None]}}, 2**63 - 1],
)
def test_what_is_set_can_be_read(context, value):
    assert cache.set("key", value) is True
    assert cache.get("key") == value
    assert type(cache.get("key")) is type(value)
    assert cache.has("key")


@pytest.mark.parametrize(
    "value",
    [
        b"bytes",
        (1, 2),
        {1: "a"},
        {1, 2},
        object(),
        Decimal("1.5"),
        float("nan"),
        2**64,
        "\ud800",
        uuid.UUID(int=1),
        datetime(2026, 11, 22, tzinfo=UTC),
        [{"deep": [b"bytes"]}],
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_that_json_would_change_is_refused(context, value):
    for store in (cache.set, cache.add):
        with pytest.raises(TypeError, match="the cache stores"):
            store("key", value)
    assert not cache.has("key")


def test_a_key_without_value_is_a_miss(context):
    assert cache.get("key") is None
    assert not cache.has("key")
    assert cache.delete("key") is False


def test_add_stores_only_the_first_value(context):
    assert cache.add("key", 1) is True
    assert cache.add("key", 2) is False
    assert cache.get("key") == 1


def test_many_keys_at_once(context):
    assert cache.set_many({"a": 1, "b": 2}) == ["a", "b"]
    assert cache.get_many("a", "x", "b") == [1, None, 2]
    assert cache.get_dict("a", "x") == {"a": 1, "x": None}
    assert cache.delete_many("a", "b") == ["a", "b"]
    assert cache.get_many("a", "b") == [None, None]


def test_clear_deletes_all_values_and_leaves_the_responses(context, server, make_worker):
    client = make_worker().test_client()
    assert cache_status(client) == STORED
    cache.set_many({str(number): number for number in range(3_000)})
    assert cache.clear() is True
    assert execute(server, "KEYS", "*:c:*") == []
    assert cache_status(client) == HIT


def test_each_key_has_a_timeout_of_its_own(context, server):
    cache.set("default", 1)
    cache.set("short", 1, timeout=1)
    cache.set("minutes", 1, timeout=timedelta(minutes=10))
    cache.set("unlimited", 1, timeout=0)
    (prefix,) = {key.rpartition(b":")[0] for key in execute(server, "KEYS", "*:c:*")}
    names = ("default", "minutes", "unlimited")
    lifetimes = [execute(server, "TTL", prefix + b":" + name.encode()) for name in names]
    assert 300 - PATIENCE < lifetimes[0] <= 300
    assert 600 - PATIENCE < lifetimes[1] <= 600
    assert lifetimes[2] == -1
    wait_until(lambda: not cache.has("short"))


def test_memoize_calls_the_function_once_for_each_argument(context):
    calls = []

    @cache.memoize(timeout=60)
    def double(number):
        calls.append(number)
        return 2 * number

    assert [double(1), double(1), double(2), double(1)] == [2, 2, 4, 2]
    assert calls == [1, 2]
    cache.delete_memoized(double, 1)
    assert [double(1), double(2)] == [2, 4]
    assert calls == [1, 2, 1]
    cache.delete_memoized(double)
    assert [double(1), double(2)] == [2, 4]
    assert calls == [1, 2, 1, 1, 2]


def test_workers_share_values(make_worker):
    first, second = make_worker(), make_worker()
    with first.app_context():
        cache.set("key", "shared")
    with second.app_context():
        assert cache.get("key") == "shared"


def test_a_restarted_redis_begins_empty(context, server):
    cache.set("key", "old")
    server.save()
    server.kill()
    server.start()
    wait_until(lambda: cache.set("other", 1))
    assert cache.get("key") is None
    assert [key.rpartition(b":")[2] for key in execute(server, "KEYS", "*:c:*")].count(b"key") == 1


@pytest.mark.parametrize("fault", [Redis.kill, Redis.freeze])
def test_without_redis_reads_miss_writes_return_false_and_nothing_raises(
    make_app, database, server, fault
):
    with make_app(database, redis_url=server.url).app_context():
        cache.set("key", 1)
        fault(server)
        try:
            for _ in range(3):
                assert cache.get("key") is None
                assert cache.set("key", 2) is False
                assert cache.add("key", 2) is False
                assert cache.delete("key") is False
                assert cache.has("key") is False
                assert cache.clear() is False
                assert cache.get_many("key", "other") == [None, None]
                assert cache.set_many({"key": 1}) == []
        finally:
            server.thaw()


def test_memoize_works_while_redis_is_dead(context, server):
    calls = []

    @cache.memoize()
    def double(number):
        calls.append(number)
        return 2 * number

    assert double(1) == 2
    server.kill()
    assert [double(1), double(2)] == [2, 4]
    assert calls == [1, 1, 2]
    cache.delete_memoized(double)


def test_a_redis_that_refuses_writes_makes_set_return_false(context, server):
    execute(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    execute(server, "CONFIG", "SET", "maxmemory", "1")
    assert cache.set("key", 1) is False
    assert cache.get("key") is None


@pytest.mark.parametrize("stored", [b"no JSON", b"\x80\x04\x95", b""])
def test_a_value_of_another_program_is_a_miss(context, server, stored):
    cache.set("key", 1)
    (key,) = execute(server, "KEYS", "*:c:*")
    execute(server, "SET", key, stored)
    assert cache.get("key") is None


def test_without_a_redis_url_nothing_is_stored(make_app, database):
    with make_app(database).app_context():
        cache.set("key", 1)
        assert cache.get("key") is None
        assert not cache.has("key")
