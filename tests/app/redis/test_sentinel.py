"""Sentinels: which master they name, also while some of them hang, and a real failover."""

import socket
import time
from contextlib import ExitStack

import pytest
import redis

from app.parsers import redis_url, sentinel_url
from app.redis.client import LIMITS, TIMEOUT_SECONDS, RedisClient, RedisUnavailable
from app.redis.sentinel import SEARCH_SECONDS, Sentinels
from stack.process import free_port
from stack.sentinel import NAME, Sentinel
from stack.servers import Redis
from tests.app.redis.steps import connected_client
from tests.waiting import PATIENCE, shortest, wait_until


@pytest.fixture(scope="module")
def master():
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def sentinel(master):
    with Sentinel(master) as server:
        yield server


@pytest.fixture
def hanging():
    """The ports of two servers that accept connections and send no response."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        yield [listener.getsockname()[1] for listener in sockets]


def url_of(master, *ports, name=NAME):
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"redis+sentinel://:{master.password}@{hosts}/{name}/0"


def test_the_parts_of_a_url():
    url = sentinel_url(
        "redis+sentinel://ann:p%40w@one,two:5000,[::1]:6000/my-name/2"
        "?sentinel_username=bob&sentinel_password=s%2Fw&socket_timeout=3"
    )
    assert url.name == "my-name"
    assert url.sentinels == (("one", 26379), ("two", 5000), ("::1", 6000))
    assert url.url_of_data() == "redis://ann:p%40w@one:26379/2?socket_timeout=3"
    last = url.url_of_sentinel(url.sentinels[-1])
    assert last == "redis://bob:s%2Fw@[::1]:6000?socket_timeout=3"
    without = sentinel_url("redis+sentinel://one/name")
    assert without.url_of_data() == without.url_of_sentinel(without.sentinels[0])


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://host",
        "redis+sentinel://host/",
        "redis+sentinel:///name/0",
        "redis+sentinel://host:port/name",
        "redis+sentinel://host:99999/name",
        "redis+sentinel://host:0/name",
        "redis+sentinel://host,/name",
        "redis+sentinel://user@host,other@host/name",
        "redis+sentinel://host/name/db",
        "redis+sentinel://host/0/name",
        "redis+sentinel://host/na me/0",
        "redis+sentinel://host/name/0?socket_timeout",
    ],
)
def test_a_wrong_url_is_refused_with_the_right_form(url):
    with pytest.raises(ValueError, match=r"^must be as in redis\+sentinel://"):
        redis_url(url)


def test_a_wrong_option_is_refused():
    with pytest.raises(ValueError, match="is not a Redis URL"):
        redis_url("redis+sentinel://host/name/0?socket_timeout=soon")


def test_the_client_connects_to_the_master_that_a_sentinel_names(master, sentinel):
    client = connected_client(url_of(master, free_port(), sentinel.port))
    assert client.execute(client.connection(), ["PING"]) == b"PONG"
    assert client.master == {"host": "127.0.0.1", "port": master.port}
    client.close()


def test_sentinels_that_hang_are_not_waited_for_again(master, sentinel, hanging):
    sentinels = Sentinels(sentinel_url(url_of(master, *hanging, sentinel.port)), LIMITS)

    def ask():
        began = time.monotonic()
        while True:
            try:
                address = sentinels.master()
            except redis.RedisError:
                assert time.monotonic() < began + PATIENCE
            else:
                assert address == ("127.0.0.1", master.port)
                return time.monotonic() - began

    ask()  # two of them have been asked in vain
    assert shortest(ask, TIMEOUT_SECONDS) < TIMEOUT_SECONDS


def test_a_search_ends_in_time_however_many_sentinels_hang(master, hanging):
    def fail():
        client = RedisClient(url_of(master, *(5 * hanging)))
        began = time.monotonic()
        with pytest.raises(RedisUnavailable, match="unreachable"):
            client.connection()
        assert not client.breaker.closed
        return time.monotonic() - began

    longest = SEARCH_SECONDS + 2 * TIMEOUT_SECONDS
    assert shortest(fail, longest) < longest


def test_a_name_that_no_sentinel_knows_is_unreachable(master, sentinel):
    client = RedisClient(url_of(master, sentinel.port, name="another"))
    with pytest.raises(RedisUnavailable, match="unreachable"):
        client.connection()


def test_a_sentinel_may_have_a_password_of_its_own(master):
    with Sentinel(master, password="of-the-Sentinel") as guarded:
        url = url_of(master, guarded.port)
        with pytest.raises(RedisUnavailable, match="unreachable"):
            RedisClient(url).connection()
        connected_client(f"{url}?sentinel_password=of-the-Sentinel").close()


@pytest.fixture
def replicated():
    """A master, its replica, and a Sentinel that knows both."""
    with ExitStack() as stack:
        master = stack.enter_context(Redis())
        replica = stack.enter_context(Redis(password=master.password))
        with redis.Redis.from_url(replica.url) as connection:
            connection.execute_command("REPLICAOF", "127.0.0.1", master.port)
            wait_until(lambda: connection.info("replication")["master_link_status"] == "up")
        sentinel = stack.enter_context(Sentinel(master))
        wait_until(lambda: sentinel.state()["num-slaves"] == 1)
        yield master, replica, sentinel


def test_after_a_failover_the_service_goes_on_with_the_new_master(
    replicated, serve_live, postgres_copy
):
    master, replica, sentinel = replicated
    url = url_of(master, sentinel.port)
    server = serve_live(DATABASE_URL=postgres_copy, REDIS_URL=url, WEB_CONCURRENCY="2")
    status, headers, _ = server.request("POST", "/books", b'{"title": "Emma", "author": "A"}')
    assert status == 201
    path = headers["Location"]

    def status_of_cache():
        status, headers, _ = server.request("GET", path)
        assert status == 200
        return headers["Cache-Status"]

    wait_until(lambda: status_of_cache().startswith("bookstall; hit"))
    master.kill()
    began = time.monotonic()
    assert server.request("PATCH", path, b'{"title": "Persuasion"}')[0] == 200
    hits = 0
    while hits < 20:
        status, headers, body = server.request("GET", path)
        assert (status, b"Persuasion" in body) == (200, True)
        hits += headers["Cache-Status"].startswith("bookstall; hit")
        if not hits:
            assert time.monotonic() < began + PATIENCE
    seconds = time.monotonic() - began
    print(f"the cache is used again {seconds:.1f} s after the master was killed")  # noqa: T201
    assert sentinel.state()["port"] == replica.port
