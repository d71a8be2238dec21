"""The rate limits as clients see them, and the leases of the limiter."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

import pytest

from app.auth.api_keys import MISS_CACHE_SECONDS
from app.config import Rate
from app.ratelimit import limiter as limiter_module
from app.ratelimit.limiter import Limiter, TokenLease
from app.ratelimit.memory import MemoryStore
from app.ratelimit.redis import RedisStore
from app.ratelimit.window import Grant, Window
from app.redis.client import RedisClient
from app.services import services_of
from tests.app.ratelimit.steps import count_admitted, statuses
from tests.waiting import PATIENCE

NAMES = count()


def test_one_client_can_use_the_whole_quota_and_then_gets_429(
    make_limited, redis_url, late_responses
):
    for settings in ({}, {"redis_url": redis_url}):
        client = make_limited(**settings).test_client()
        address = {"REMOTE_ADDR": f"192.0.2.{next(NAMES) % 250}"}
        responses = [client.get("/books", environ_overrides=address) for _ in range(12)]
        assert [response.status_code for response in responses] == [200] * 10 + [429] * 2
        left = [response.headers["RateLimit"].split(";")[1] for response in responses]
        assert left == [f"r={n}" for n in [*range(9, -1, -1), 0, 0]]
        assert responses[0].headers["RateLimit"] == '"read";r=9;t=60'
        policies = {response.headers["RateLimit-Policy"] for response in responses}
        assert policies == {'"read";q=10;w=60'}
        assert not any("Retry-After" in response.headers for response in responses[:10])
        rejected = responses[-1]
        assert 1 <= int(rejected.headers["Retry-After"]) <= 63 + PATIENCE
        assert rejected.headers["RateLimit"] == f'"read";r=0;t={rejected.headers["Retry-After"]}'
        assert rejected.mimetype == "application/problem+json"
        assert (rejected.json["status"], rejected.json["title"]) == (429, "Too Many Requests")
        assert rejected.json["request_id"] == rejected.headers["X-Request-ID"]


def test_every_response_reports_the_limit_including_hits_and_304(
    make_limited, fresh_redis, late_responses
):
    client = make_limited(redis_url=fresh_redis, rate_limit_read=Rate(1_000, 60)).test_client()
    client.environ_base["REMOTE_ADDR"] = "192.0.2.252"  # other tests have no part in its quota
    etag = client.get("/books").headers["ETag"]
    hit = client.get("/books")
    assert hit.headers["Cache-Status"] == "bookstall; hit"
    responses = [
        hit,
        client.get("/books", headers={"If-None-Match": etag}),
        client.head("/books"),
        client.get("/books/9"),
        client.get("/nowhere"),
        client.get("/books?nonsense=1"),
        client.get("/books", headers={"Authorization": "Bearer nonsense"}),
        client.get("/docs"),
        client.get("/openapi.json"),
    ]
    expected = [200, 304, 200, 404, 404, 422, 401, 200, 200]
    assert [response.status_code for response in responses] == expected
    left = [int(response.headers["RateLimit"].split(";")[1][2:]) for response in responses]
    assert left == list(range(left[0], left[0] - len(responses), -1))


def test_probes_are_not_limited(make_limited):
    client = make_limited(rate_limit_read=Rate(1, 60)).test_client()
    for path in ("/healthz", "/readyz", "/metrics"):
        responses = [client.get(path) for _ in range(5)]
        assert {response.status_code for response in responses} == {200}
        assert "RateLimit" not in responses[0].headers


def test_reads_and_writes_have_separate_limits_and_off_means_no_limit(make_limited):
    client = make_limited(rate_limit_read=None, rate_limit_write=Rate(2, 60)).test_client()
    book = {"title": "Emma", "author": "Jane Austen"}
    responses = [client.post("/books", json=book) for _ in range(3)]
    assert [response.status_code for response in responses] == [201, 201, 429]
    assert responses[0].headers["RateLimit-Policy"] == '"write";q=2;w=60'
    reads = [client.get("/books") for _ in range(5)]
    assert {response.status_code for response in reads} == {200}
    assert "RateLimit" not in reads[0].headers
    assert len(reads[0].json["items"]) == 2


def test_a_request_after_retry_after_is_admitted(make_limited, redis_url):
    retries = []
    for settings in ({}, {"redis_url": redis_url}):
        app = make_limited(rate_limit_read=Rate(3, 1), **settings)
        client = app.test_client()
        services_of(app).rate_limits.read._window.max_delay = PATIENCE  # of responses of Redis
        while (response := client.get("/books")).status_code == 200:
            pass
        retries.append((client, time.monotonic() + int(response.headers["Retry-After"])))
    for client, retry_at in retries:
        time.sleep(max(0, retry_at - time.monotonic()))
        assert client.get("/books").status_code == 200


def test_retry_after_counts_from_the_response_of_the_store():
    """It may be late. The store has counted the seconds from a moment after the request."""
    store, responded = MemoryStore(Window(Rate(3, 60))), time.monotonic()
    lease = TokenLease(store, Grant(0, 0, 0, 10.0), 4, responded - 5, 1.0)
    assert lease.resets_at >= responded + 10


def test_each_key_has_its_own_quota_for_all_addresses(make_limited):
    app = make_limited()
    client = app.test_client()
    created = [app.test_cli_runner().invoke(args=["keys", "create", "x"]) for _ in range(2)]
    one, two = ({"Authorization": f"Bearer {key.stdout.strip()}"} for key in created)
    time.sleep(MISS_CACHE_SECONDS)
    here, there = {"REMOTE_ADDR": "192.0.2.1"}, {"REMOTE_ADDR": "192.0.2.2"}
    assert count_admitted(client, headers=one, environ_overrides=here) == 10
    assert count_admitted(client, headers=one, environ_overrides=there) == 0
    assert count_admitted(client, headers=two, environ_overrides=here) == 10
    assert count_admitted(client, environ_overrides=here) == 10


def test_guessing_keys_is_limited_by_address(make_limited):
    client = make_limited().test_client()
    guesses = [{"Authorization": f"Bearer bks_{n:012x}_{'A' * 43}"} for n in range(15)]
    received = [client.get("/books", headers=guess).status_code for guess in guesses]
    assert received == [401] * 10 + [429] * 5
    assert client.get("/books").status_code == 429


def test_two_processes_can_use_nearly_the_whole_quota(make_limited, redis_url, late_responses):
    rate = Rate(600, 600)
    workers = [
        make_limited(redis_url=redis_url, rate_limit_read=rate).test_client() for _ in range(2)
    ]
    address = {"REMOTE_ADDR": "192.0.2.251"}
    dice = random.Random(7)
    received = [
        dice.choice(workers).get("/books", environ_overrides=address).status_code
        for _ in range(700)
    ]
    assert 570 <= received.count(200) <= 600


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_threads_of_several_processes_never_use_more_tokens_than_were_counted(
    kind, redis_url, late_responses
):
    window = Window(Rate(500, 600))
    memory = MemoryStore(window)
    name = f"threads {next(NAMES)} {time.monotonic()}"

    def store() -> Any:
        return memory if kind == "memory" else RedisStore(RedisClient(redis_url), "test", window)

    limiters = [Limiter("read", window, [store(), memory]) for _ in range(3)]

    def admit(number: int) -> int:
        return sum(limiters[(number + n) % 3].admit(name).retry_after is None for n in range(200))

    with ThreadPoolExecutor(12) as pool:
        admitted = sum(pool.map(admit, range(12)))
    assert 450 <= admitted <= 500


def test_requests_within_a_lease_use_no_store(make_limited, redis_url, lasting_leases, monkeypatch):
    app = make_limited(redis_url=redis_url, rate_limit_read=Rate(100_000, 7_200))
    client = app.test_client()
    calls = []
    take = RedisStore.take
    monkeypatch.setattr(RedisStore, "take", lambda *a: calls.append(a) or take(*a))
    assert statuses(client, 500) == [200] * 500
    assert len(calls) == 7  # they double: 4 + 8 + ... + 256


def test_the_number_of_leases_is_bounded(monkeypatch):
    monkeypatch.setattr(limiter_module, "MAX_LEASES", 50)
    window = Window(Rate(10, 60))
    limiter = Limiter("read", window, [MemoryStore(window)])
    for number in range(200):
        assert limiter.admit(f"x{number}").retry_after is None
    assert len(limiter._leases) == 50


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_a_request_that_costs_many_tokens_takes_all_of_them_or_none(
    kind, redis_url, late_responses
):
    window = Window(Rate(100, 600))
    store = MemoryStore(window)
    if kind == "redis":
        store = RedisStore(RedisClient(redis_url), "test", window)
    limiter, name = Limiter("write", window, [store]), f"many {next(NAMES)} {time.monotonic()}"
    assert limiter.admit(name).retry_after is None
    assert limiter.admit_at_once(name, 60).retry_after is None
    refused = limiter.admit_at_once(name, 60)
    assert 1 <= (refused.retry_after or 0) <= 620 + PATIENCE
    assert limiter.admit_at_once(name, 39).retry_after is None
    assert limiter.admit(name).retry_after is not None


@pytest.mark.parametrize("kind", ["memory", "redis"])
def test_after_retry_after_as_many_tokens_are_free_as_were_refused(kind, redis_url):
    window = Window(Rate(10, 5))
    window.max_delay = PATIENCE  # of responses of Redis
    store = MemoryStore(window)
    if kind == "redis":
        store = RedisStore(RedisClient(redis_url), "test", window)
    name = f"later {next(NAMES)} {time.monotonic()}"
    assert store.take(name, 2, None, 2).tokens == 2
    time.sleep(3 * window.slice_seconds)  # into another slice
    assert store.take(name, 8, None, 8).tokens == 8
    for needed in (2, 10):
        refused = store.take(name, needed, None, needed)
        if needed == 2:
            soonest = refused.resets_after
        assert refused.tokens == 0
    assert refused.resets_after > soonest
    time.sleep(refused.resets_after)
    assert store.take(name, 10, None, 10).tokens == 10
