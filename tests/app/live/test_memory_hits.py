"""Hits on the event loop: the same as those of the middleware, and left to it in any doubt."""

import asyncio
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY
from sqlalchemy import text

from app.cache import lease, self_check
from app.config import Rate
from app.extensions import db
from app.live.memory_hits import make_memory_hits
from app.live.wsgi_bridge import WsgiBridge
from stack.servers import Redis
from tests.waiting import PATIENCE, wait_until

MEMORY = "bookstall; hit; detail=memory"
KEYED_BY_REQUEST = ("cache-status", "x-request-id")
PATHS = (
    "/books",
    "/books/1",
    "/books/1/reviews",
    "/books/999",
    "/products",
    "/products/1",
    "/products/search",
    "/products/1/stock-adjustments",
    "/products/",
    "//products",
    "/healthz",
    "/figures",
    "/b%C3%BCcher",
    "/bücher",
)
QUERIES = (
    *[b""] * 6,
    b"limit=2",
    b"limit=0",
    b"limit=2&include_total=true",
    b"include_total=true&limit=2",
    b"unknown=1",
    b"limit=2&limit=3",
    b"name=lamp",
    b"name=%ff",
    b"author=Bront\xc3\xab",
    b"sort=-price",
)
HEADERS = {
    b"accept": (
        b"*/*",
        b"application/json",
        b"text/html",
        b"application/json;q=0",
        b"application/*",
    ),
    b"accept-encoding": (b"gzip", b"gzip;q=0", b"*", b"identity", b"br, gzip;q=0.5"),
    b"if-none-match": (b"*", b'"1"', b'W/"1"', b'"1", "2"', b"garbage", b"ETAG"),
    b"authorization": (b"Bearer wrong", b"Basic abc"),
    b"origin": (b"https://shop.example", b"https://other.example"),
    b"range": (b"bytes=0-3",),
    b"content-length": (b"0",),
    b"expect": (b"100-continue",),
    b"x-forwarded-for": (b"10.0.0.1", b"garbage"),
    b"x-request-id": (b"given", b"not valid!"),
}
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "GET", "GET", "HEAD", "OPTIONS", "POST"]),
        "path": st.sampled_from(PATHS),
        "query": st.sampled_from(QUERIES),
        "headers": st.lists(
            st.sampled_from([(name, value) for name in HEADERS for value in HEADERS[name]]),
            max_size=2,
            unique_by=lambda header: header[0],
        ).map(dict),
    }
)


class NoHeads:
    """No request is a plain read: Flask gets all of them."""

    def read(self, _):
        return None


class Service:
    """One application, in one event loop, called by heads alone or by the messages of ASGI."""

    def __init__(self, app):
        self.app = app
        self._runner = asyncio.Runner()
        self._threads = ThreadPoolExecutor(1)
        self._hits = make_memory_hits(app, self._in_thread)
        self._bridge = WsgiBridge(app, 1_048_576, self._hits)
        self._without = WsgiBridge(app, 1_048_576, NoHeads())

    async def _in_thread(self, call):
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._runner.run(self._bridge.close())
        self._runner.close()
        for threads in (self._threads, self._bridge.threads, self._without.threads):
            threads.shutdown()

    def request(self, path, query=b"", method="GET", memory=True, client="127.0.0.1", **headers):
        """Return status, headers and body."""
        named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        return self.send(
            {"method": method, "path": path, "query": query, "headers": named}, memory, client
        )

    def send(self, request, memory=True, client="127.0.0.1"):
        return self._runner.run(self._send(request, client, memory))

    def send_all(self, requests):
        """Send requests at the same time."""

        async def send():
            sends = (self._send(*request) for request in requests)
            return await asyncio.gather(*sends)

        return self._runner.run(send())

    async def _send(self, request, client="127.0.0.1", memory=True):
        scope = {
            "type": "http",
            "http_version": "1.1",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "method": request["method"],
            "path": request["path"],
            "query_string": request["query"],
            "headers": [(b"host", b"shop.example"), *request["headers"].items()],
            "client": (client, 5),
        }
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async with asyncio.timeout(PATIENCE):
            await (self._bridge if memory else self._without)(scope, receive, send)
        headers = [(name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"]]
        return sent[0]["status"], headers, sent[1]["body"]

    def cache_status(self, *path, **how):
        return dict(self.request(*path, **how)[1])["cache-status"]

    def remember(self, path, **how):
        """Read a path until it is in memory: with Redis, the first hit stores it there."""
        wait_until(lambda: self.cache_status(path, **how) == MEMORY)


@pytest.fixture(params=["sqlite", "redis"])
def make_service(request, make_app, sqlite_database, monkeypatch):
    """A factory of services with some data, on SQLite, and on the same with Redis.

    Their leases do not end however busy the machine is.
    """
    monkeypatch.setattr(lease, "LEASE_SECONDS", PATIENCE)
    services = []

    def make(**more):
        if request.param == "redis":
            more["redis_url"] = request.getfixturevalue("fresh_redis")
        service = Service(make_app(sqlite_database, **more))
        services.append(service)
        client = service.app.test_client()
        for title in ("Emma", "Persuasion", "Jane Eyre"):
            client.post("/books", json={"title": title, "author": "Charlotte Brontë " * 40})
        review = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
        client.post("/books/1/reviews", json=review)
        for number in range(1, 30):
            product = {"sku": f"L-{number}", "name": "Lamp " * 9, "price": 7, "stock_level": number}
            client.post("/products", json=product)
        return service

    yield make
    for service in services:
        with service:
            pass


@pytest.fixture
def service(make_service):
    return make_service(allowed_origins=("https://shop.example",))


@pytest.mark.parametrize("path", ["/books/1", "/products"])
def test_hits_are_compared_with_the_database(service, monkeypatch, path):
    def counts():
        names = ("checked", "stale")
        return [REGISTRY.get_sample_value(f"bookstall_cache_{name}_total") for name in names]

    def stale_by(method):
        """Return how many differences a hit from memory adds."""
        checked, stale = counts()
        assert service.cache_status(path, method=method) == MEMORY
        wait_until(lambda: counts()[0] == checked + 1)
        return counts()[1] - stale

    service.remember(path)
    monkeypatch.setattr(self_check, "PART", 1.0)
    assert [stale_by("GET"), stale_by("HEAD")] == [0, 0]
    with service.app.app_context(), db.engine.begin() as connection:  # which invalidates nothing
        connection.execute(text("UPDATE book SET title = 'Villette'"))
        connection.execute(text("UPDATE product SET name = 'Vase'"))
    assert [stale_by("GET"), stale_by("HEAD")] == [1, 1]


def comparable(response):
    status, headers, body = response
    body = re.sub(rb'"request_id":"[^"]*"', b"", body)
    return status, [pair for pair in headers if pair[0] not in KEYED_BY_REQUEST], body


def test_every_response_is_the_same_with_and_without_the_memory(service):
    from_memory = 0

    @settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
    @given(REQUESTS)
    def compare(request):
        nonlocal from_memory
        if request["headers"].get(b"if-none-match") == b"ETAG":
            plain = {**request, "headers": {**request["headers"], b"if-none-match": b'"none"'}}
            etag = dict(service.send(plain)[1]).get("etag", '"none"')
            request["headers"][b"if-none-match"] = etag.encode()
        expected = service.send(request, memory=False)
        for _ in range(3):
            response = service.send(request)
            assert comparable(response) == comparable(expected)
            given_id = request["headers"].get(b"x-request-id") == b"given"
            assert not given_id or dict(response[1])["x-request-id"] == "given"
        from_memory += dict(response[1])["cache-status"] == MEMORY

    compare()
    assert from_memory > 10


def test_only_plain_reads_are_answered_on_the_event_loop(service, monkeypatch):
    service.remember("/products")
    unusual = (
        {"authorization": b"Bearer wrong"},
        {"content_length": b"0"},
        {"expect": b"100-continue"},
        {"range": b"bytes=0-3"},
        {"accept": b"text/html"},
        {"method": "OPTIONS"},
    )
    called = record_calls(monkeypatch, service.app.wsgi_app, "respond")
    for number, how in enumerate(unusual, 1):
        service.request("/products", **how)
        assert len(called) == number
    service.request("/products", method="HEAD")
    service.request("/products", x_request_id=b"given")
    assert len(called) == len(unusual)


def record_calls(monkeypatch, middleware, name):
    calls, method = [], getattr(middleware, name)

    def recorded(*arguments):
        calls.append(arguments)
        return method(*arguments)

    monkeypatch.setattr(middleware, name, recorded)
    return calls


def test_a_write_is_seen_by_the_next_read(service):
    client = service.app.test_client()
    for level in range(100, 105):
        service.remember("/products/1")
        client.patch("/products/1", json={"stock_level": level})
        _, headers, body = service.request("/products/1")
        assert dict(headers)["cache-status"] != MEMORY
        assert f'"stock_level":{level}'.encode() in body


def test_a_list_stays_in_memory_while_only_others_change(service):
    service.remember("/products", query=b"limit=5")
    client = service.app.test_client()
    client.patch("/products/20", json={"stock_level": 500})
    assert service.cache_status("/products", b"limit=5") == MEMORY
    client.patch("/products/3", json={"stock_level": 500})
    assert service.cache_status("/products", b"limit=5") != MEMORY


def test_a_hit_from_memory_counts_and_an_exceeded_limit_is_refused(make_service):
    service = make_service(rate_limit_read=Rate(10, 3600))
    service.request("/products/1", client="10.0.0.1")  # so that another client fills the memory
    service.request("/products/1", client="10.0.0.1")
    left = [dict(service.request("/products/1")[1]).get("ratelimit") for _ in range(10)]
    assert left == [f'"read";r={number};t=3600' for number in range(9, -1, -1)]
    status, headers, _ = service.request("/products/1")
    assert status == 429
    assert "retry-after" in dict(headers)
    status, _, _ = service.request("/products/1", memory=False)
    assert status == 429


def test_no_client_gets_more_than_its_quota_from_requests_at_once(make_service):
    service = make_service(rate_limit_read=Rate(10, 3600))
    service.request("/products/1", client="10.0.0.1")
    service.request("/products/1", client="10.0.0.1")
    request = {"method": "GET", "path": "/products/1", "query": b"", "headers": {}}
    clients = [f"10.0.1.{number}" for number in range(20)]
    responses = service.send_all([(request, client) for client in clients for _ in range(15)])
    for first in range(0, len(responses), 15):
        statuses = sorted(status for status, _, _ in responses[first : first + 15])
        assert statuses == [200] * 10 + [429] * 5


def test_hits_are_counted_and_logged(service, caplog):
    service.remember("/products/1")
    with caplog.at_level("INFO", "bookstall.request"):
        service.request("/products/1", client="10.0.0.7", x_request_id=b"abc")
    metrics = service.request("/metrics")[2].decode()
    line = 'bookstall_requests_total{cache="hit",method="GET",route="/products/<id:product_id>"'
    assert line in metrics
    (record,) = [r for r in caplog.records if getattr(r, "request_id", None) == "abc"]
    assert (record.client, record.cache, record.status) == ("10.0.0.7", "hit; detail=memory", 200)


def test_a_response_is_not_older_than_the_ttl(make_service, monkeypatch):
    service = make_service(cache_ttl=100)
    service.remember("/products")
    later = time.monotonic() + 101
    monkeypatch.setattr("app.cache.memory.time.monotonic", lambda: later)
    assert service.cache_status("/products") != MEMORY


def test_without_memory_there_are_no_hits_from_it(make_service):
    service = make_service(cache_memory_mib=0)
    assert MEMORY not in {service.cache_status("/products") for _ in range(4)}


def test_an_error_leaves_the_request_to_the_middleware(service, monkeypatch, caplog):
    service.remember("/products")
    monkeypatch.setattr("app.live.memory_hits.apply_if_none_match", lambda *_: 1 / 0)
    called = record_calls(monkeypatch, service.app.wsgi_app, "respond_to_read")
    assert service.request("/products")[0] == 200
    assert len(called) == 1
    assert "error while a response in memory was looked for" in caplog.text


@pytest.fixture
def faulty(make_app, sqlite_database):
    """A service on a Redis of its own."""
    with Redis() as redis, Service(make_app(sqlite_database, redis_url=redis.url)) as service:
        service.app.test_client().post("/books", json={"title": "Emma", "author": "Jane Austen"})
        yield service, redis


def test_a_dead_redis_leaves_hits_to_the_database(faulty):
    service, redis = faulty
    service.remember("/books/1")
    redis.kill()
    assert service.cache_status("/books/1").startswith("bookstall; fwd=bypass")
    redis.start()


def test_a_frozen_redis_leaves_hits_to_the_database(faulty):
    service, redis = faulty
    service.remember("/books/1")
    redis.freeze()
    try:
        assert service.cache_status("/books/1").startswith("bookstall; fwd=bypass")
    finally:
        redis.thaw()


def test_a_restarted_redis_makes_the_memory_worthless(faulty):
    service, redis = faulty
    service.remember("/books/1")
    redis.save()
    redis.kill()
    redis.start()
    statuses = [service.cache_status("/books/1") for _ in range(3)]
    assert MEMORY not in statuses[:2]
