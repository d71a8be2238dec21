"""Responses that are true for a limited time: no cache serves one for longer."""

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from app.http.response import OK, BufferedResponse
from app.services import services_of
from tests.app.cache.steps import HIT, STORED, cache_status, pause_first_read
from tests.waiting import PATIENCE, wait_until

LAMP = {"sku": "l1", "name": "Lamp", "price": 1, "stock_level": 10}
MEMORY_HIT = "bookstall; hit; detail=memory"
NO_REDIS = "bookstall; fwd=bypass; detail=no-redis"
KEY, TAGS = "0" * 32, ["products"]


@pytest.fixture
def local(make_app, sqlite_database):
    """An application without Redis, with its responses in its own memory."""
    return make_app(sqlite_database)


@pytest.fixture(params=["redis", "memory"])
def app(request):
    """An application with each of the caches."""
    return request.getfixturevalue("worker" if request.param == "redis" else "local")


@pytest.fixture
def client(app):
    return app.test_client()


def hold(client, expires_in):
    """Hold 3 of 10 new lamps; return what tells whether that is over."""
    lamp = client.post("/products", json=LAMP).json["id"]
    body = {"quantity": 3, "expires_in": expires_in}
    made = client.post(f"/products/{lamp}/holds", json=body).json
    return lambda: client.get(f"/holds/{made['id']}").json["state"] == "expired"


def available(client, path="/products/1"):
    return client.get(path).json["available"]


def test_a_response_with_a_live_hold_is_kept_and_then_not_served(app, client):
    is_over = hold(client, expires_in=5)
    first, again = (client.get("/products/1") for _ in range(2))
    if not is_over():  # on a very slow machine
        assert first.json["available"] == 7
        assert first.headers["Cache-Status"] in {STORED, NO_REDIS}
        assert again.headers["Cache-Status"] in {HIT, MEMORY_HIT}
        differing = {"Cache-Status", "X-Request-ID"}
        assert again.data == first.data
        assert [pair for pair in again.headers if pair[0] not in differing] == [
            pair for pair in first.headers if pair[0] not in differing
        ]
    wait_until(is_over)
    assert available(client) == 10


def test_a_list_without_held_products_is_kept_for_longer(app, client):
    is_over = hold(client, expires_in=1)
    client.post("/products", json={**LAMP, "sku": "l2", "price": 9})
    path = "/products/search?min_price=5"
    client.get(path)
    wait_until(is_over)
    assert cache_status(client, path) in {HIT, MEMORY_HIT}


def test_a_reader_does_not_join_a_query_from_before_the_end_of_a_hold(app, client):
    is_over = hold(client, expires_in=5)
    paused, resume = pause_first_read(app, "product")
    with ThreadPoolExecutor() as threads:
        first = threads.submit(available, app.test_client())
        assert paused.wait(PATIENCE)
        wait_until(is_over)
        second = threads.submit(available, app.test_client())
        time.sleep(0.3)  # it waits for the query of the first
        resume.set()
        assert (first.result(), second.result()) == (7, 10)


def test_an_entry_does_not_begin_to_live_when_a_frozen_redis_receives_it(server, worker):
    """Redis executes commands after it was suspended, whatever has become of their senders."""
    cache = services_of(worker).cache.responses
    versions, _ = cache.get(KEY, TAGS)
    response = BufferedResponse(OK, [], b"{}")
    cache.set(KEY, TAGS, versions, response)
    assert cache.get(KEY, TAGS)[1] is not None
    response.expires_at = time.monotonic() + 1
    redis_time, frozen = cache._redis_time, Event()

    def freeze_after(*arguments):
        found = redis_time(*arguments)
        server.freeze()
        frozen.set()
        return found

    cache._redis_time = freeze_after
    with ThreadPoolExecutor() as threads:
        storing = threads.submit(cache.set, KEY, TAGS, versions, response)
        assert frozen.wait(PATIENCE)
        wait_until(lambda: time.monotonic() > response.expires_at)
        server.thaw()
        storing.result(PATIENCE)
    assert cache.get(KEY, TAGS)[1] is None
