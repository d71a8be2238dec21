"""CORS on every route: what a page of another site may send, and what it may read."""

import shutil
from contextlib import ExitStack

import pytest

from tests.servers import Gunicorn, LiveGunicorn

SHOP = "https://shop.example"
OTHER = "http://127.0.0.1:8080"
EXPOSED = {
    "ETag",
    "Link",
    "Location",
    "Retry-After",
    "RateLimit",
    "RateLimit-Policy",
    "Cache-Status",
    "X-Request-ID",
}
SENT = {"authorization", "content-type", "idempotency-key", "if-match", "if-none-match"}
STREAM = "/graphql/stream?query={__typename}"
BOOK = b'{"title": "Emma", "author": "Jane Austen"}'
ROUTES = [
    ("GET", "/books", 200),
    ("HEAD", "/books", 200),
    ("GET", "/books?nonsense=1", 422),
    ("GET", "/books/999999", 404),
    ("GET", "/nonsense", 404),
    ("DELETE", "/books", 405),
    ("OPTIONS", "/books", 200),
    ("POST", "/graphql", 415),
    ("GET", "/live", 200),
    ("GET", "/docs/swagger-ui.css", 200),
    ("GET", "/openapi.json", 200),
    ("GET", "/healthz", 200),
    ("GET", "/readyz", 200),
    ("GET", "/metrics", 200),
]


def vary(headers):
    return [value.strip() for value in (headers["Vary"] or "").split(",")]


def words(headers, name):
    return {word.strip() for word in (headers[name] or "").split(",")}


def allowed_origin(headers):
    return headers.get_all("Access-Control-Allow-Origin")


@pytest.fixture(scope="module", params=[Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])
def start(request, migrated_sqlite, tmp_path_factory):
    """Start one of the two servers with some settings."""
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("cors") / "bookstall.db")
    basics = {"DATABASE_URL": f"sqlite:///{path}", "WEB_CONCURRENCY": "1"}
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(request.param(**basics, **settings))


@pytest.fixture(scope="module")
def listed(start):
    """A service that lists two sites."""
    return start(ALLOWED_ORIGINS=f"{SHOP}, {OTHER}")


@pytest.fixture(scope="module")
def open_to_all(start):
    return start(ALLOWED_ORIGINS="*")


@pytest.fixture(scope="module")
def closed(start):
    return start()


def is_live(server):
    return isinstance(server, LiveGunicorn)


@pytest.mark.parametrize(("method", "path", "status"), [*ROUTES, ("GET", STREAM, 200)])
@pytest.mark.parametrize("origin", [SHOP, OTHER])
def test_a_listed_site_may_read_every_response(listed, method, path, status, origin):
    if path == STREAM and not is_live(listed):
        status = 404
    answered, headers, _ = listed.request(method, path, Origin=origin)
    assert answered == status
    assert allowed_origin(headers) == [origin]
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert words(headers, "Access-Control-Expose-Headers") >= EXPOSED
    assert "Origin" in vary(headers)
    assert len(headers.get_all("Vary")) == 1


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "*",
        "HTTPS://SHOP.EXAMPLE",
        "https://Shop.example",
        "http://shop.example",
        "https://shop.example:443",
        "https://shop.example:8443",
        "https://shop.example/",
        "https://shop.example.evil.example",
        "https://evil-shop.example",
        "https://evil.example?https://shop.example",
        "https://shop.example, https://evil.example",
        "https://shop.example https://evil.example",
        "https://user@shop.example",
        "http://127.0.0.1",
        "\xff",
        "x" * 5_000,
    ],
    ids=lambda origin: ascii(origin)[:50],
)
@pytest.mark.parametrize(("method", "path", "status"), [*ROUTES[:4], ("GET", STREAM, 403)])
def test_any_other_origin_may_read_nothing(listed, method, path, status, origin):
    if path == STREAM and not is_live(listed):
        status = 404
    if path == STREAM and origin is None:
        status = 200 if is_live(listed) else 404
    headers_sent = {} if origin is None else {"Origin": origin}
    answered, headers, _ = listed.request(method, path, **headers_sent)
    assert answered == status
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert "Origin" in vary(headers)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/books/7", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
        ("/products/7", {"GET", "HEAD", "OPTIONS", "PATCH"}),
        ("/graphql", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/healthz", {"GET", "HEAD", "OPTIONS"}),
        ("/pages/live.js", {"GET", "HEAD", "OPTIONS"}),
        ("/graphql/stream", {"GET", "POST"}),
        ("/nonsense", {"GET", "POST", "PATCH", "DELETE"}),
    ],
)
def test_a_preflight_allows_the_methods_of_the_route(listed, path, methods):
    status, headers, body = listed.request(
        "OPTIONS",
        path,
        Origin=SHOP,
        Access_Control_Request_Method="PATCH",
        Access_Control_Request_Headers="authorization, if-match, content-type",
    )
    assert (status, body) == (204, b"")
    assert allowed_origin(headers) == [SHOP]
    assert headers["Access-Control-Allow-Credentials"] == "true"
    given = words(headers, "Access-Control-Allow-Methods")
    assert given >= methods
    if path not in {"/nonsense", "/graphql/stream"}:
        assert given == methods
    allowed = {name.lower() for name in words(headers, "Access-Control-Allow-Headers")}
    assert allowed >= SENT | {"x-request-id", "last-event-id"}
    assert int(headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in vary(headers)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", f"{SHOP}.evil.example"])
@pytest.mark.parametrize("path", ["/books", "/nonsense", "/graphql/stream"])
def test_a_preflight_of_another_site_is_allowed_nothing(listed, path, origin):
    _, headers, _ = listed.request(
        "OPTIONS", path, Origin=origin, Access_Control_Request_Method="POST"
    )
    assert not [name for name in headers if name.lower().startswith("access-control")]
    assert "Origin" in vary(headers)


@pytest.mark.parametrize(("method", "path", "status"), [*ROUTES, ("GET", STREAM, 200)])
@pytest.mark.parametrize("origin", [None, "https://any.example", "null"])
def test_a_star_lets_any_site_read_without_credentials(open_to_all, method, path, status, origin):
    if path == STREAM and not is_live(open_to_all):
        status = 404
    headers_sent = {} if origin is None else {"Origin": origin}
    answered, headers, _ = open_to_all.request(method, path, **headers_sent)
    assert answered == status
    assert allowed_origin(headers) == ["*"]
    assert "Access-Control-Allow-Credentials" not in headers
    assert words(headers, "Access-Control-Expose-Headers") >= EXPOSED
    assert "Origin" not in vary(headers)


@pytest.mark.parametrize("path", ["/products/7", "/graphql/stream"])
def test_a_preflight_of_any_site_is_allowed_by_a_star(open_to_all, path):
    status, headers, _ = open_to_all.request(
        "OPTIONS", path, Origin="https://any.example", Access_Control_Request_Method="POST"
    )
    assert (status, allowed_origin(headers)) == (204, ["*"])
    assert "Access-Control-Allow-Credentials" not in headers
    assert "Authorization" in words(headers, "Access-Control-Allow-Headers")


def test_without_the_setting_nothing_changes(closed):
    status, headers, _ = closed.request("GET", "/books", Origin=SHOP)
    assert (status, allowed_origin(headers), headers["Vary"]) == (200, None, None)
    status, headers, _ = closed.request(
        "OPTIONS", "/books", Origin=SHOP, Access_Control_Request_Method="POST"
    )
    assert (status, allowed_origin(headers)) == (200, None)


def test_a_preflight_needs_no_key_and_takes_no_token(start):
    server = start(
        ALLOWED_ORIGINS=SHOP,
        REQUIRE_API_KEY="true",
        RATE_LIMIT_READ="3/hour",
        RATE_LIMIT_WRITE="1/hour",
    )
    ask = {"Origin": SHOP, "Access_Control_Request_Method": "POST"}
    paths = ["/books", "/nonsense", "/graphql"] + ["/graphql/stream"] * is_live(server)
    for path in paths * 3:
        status, headers, _ = server.request("OPTIONS", path, **ask)
        assert (status, headers["RateLimit"]) == (204, None), path
    # Refusals can be read too, and say why.
    refused = [server.request("POST", "/books", BOOK, Origin=SHOP) for _ in range(2)]
    refused += [server.request("GET", "/books", Origin=SHOP, Authorization="Bearer wrong")]
    refused += [server.request("GET", path, Origin=SHOP) for path in (STREAM, STREAM, "/books")]
    if is_live(server):
        assert [status for status, _, _ in refused] == [401, 429, 401, 401, 401, 429]
    else:
        assert [status for status, _, _ in refused] == [401, 429, 401, 404, 404, 429]
    assert {headers["Access-Control-Allow-Origin"] for _, headers, _ in refused} == {SHOP}
    assert refused[1][1]["Retry-After"]


def test_a_body_that_is_too_large_is_a_413_that_the_page_can_read(listed):
    for path in ["/books", "/graphql"] + ["/graphql/stream"] * is_live(listed):
        announced = {"Content_Length": "1100000", "Content_Type": "application/json"}
        status, headers, _ = listed.request("POST", path, Origin=SHOP, **announced)
        assert (status, allowed_origin(headers)) == (413, [SHOP])


def test_all_sites_share_one_cached_response(make_app, sqlite_database, fresh_redis):
    settings = {"redis_url": fresh_redis, "allowed_origins": (SHOP, OTHER)}
    client = make_app(sqlite_database, **settings).test_client()
    client.get("/books?limit=9")
    for origin in (SHOP, OTHER, "https://evil.example", None):
        headers = {"Origin": origin} if origin else {}
        response = client.get("/books?limit=9", headers=headers)
        assert response.headers["Cache-Status"] == "bookstall; hit"
        assert response.headers["Vary"] == "Origin"
        expected = origin if origin in {SHOP, OTHER} else None
        assert response.headers.get("Access-Control-Allow-Origin") == expected
    etag = {"Origin": OTHER, "If-None-Match": response.headers["ETag"]}
    unchanged = client.get("/books?limit=9", headers=etag)
    assert (unchanged.status_code, unchanged.headers["Vary"]) == (304, "Origin")
    assert unchanged.headers["Access-Control-Allow-Origin"] == OTHER


def test_a_compressed_response_varies_with_both(make_app, sqlite_database):
    client = make_app(sqlite_database, allowed_origins=(SHOP,)).test_client()
    for encoding in ("gzip", ""):
        headers = {"Accept-Encoding": encoding, "Origin": SHOP}
        response = client.get("/openapi.json", headers=headers)
        assert response.headers.getlist("Vary") == ["Accept-Encoding, Origin"]


def test_a_bug_before_the_view_is_a_500_that_the_page_can_read(
    make_app, sqlite_database, monkeypatch, caplog, assert_problem
):
    def fault(*_, **__):
        raise ZeroDivisionError("internal details")

    app = make_app(sqlite_database, allowed_origins=(SHOP,))
    monkeypatch.setattr("app.auth.policy.AccessPolicy.identify", fault)
    response = app.test_client().get("/books", headers={"Origin": SHOP})
    assert_problem(response, 500)
    assert response.headers["Access-Control-Allow-Origin"] == SHOP
    assert "internal details" not in response.text
    assert "internal details" in caplog.text
