"""Accept, malformed headers and unsupported methods."""

import pytest


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/xml",
        "application/json;q=0",
        "*/*;q=0",
        "application/json;q=0, */*",
        "application/problem+json",
        "image/*",
        "nonsense",
        "\xff",
        "application/jsonx",
    ],
)
def test_a_client_that_does_not_accept_json_gets_a_406(shared_client, accept, assert_problem):
    assert_problem(shared_client.get("/books", headers={"Accept": accept}), 406)
    response = shared_client.post(
        "/books", json={"title": "T", "author": "A"}, headers={"Accept": accept}
    )
    assert_problem(response, 406)


def test_a_cached_response_is_not_sent_to_a_client_that_does_not_accept_json(
    make_app, sqlite_database, fresh_redis, assert_problem
):
    client = make_app(sqlite_database, redis_url=fresh_redis).test_client()
    for _ in range(2):
        last = client.get("/books?limit=7")
    assert last.headers["Cache-Status"] == "bookstall; hit"
    for accept in ("application/json;q=0.0", "application/jsonx", "text/html", "*/*;q=0.000"):
        assert_problem(client.get("/books?limit=7", headers={"Accept": accept}), 406)
    charset = {"Accept": "application/json; charset=utf-8"}
    assert client.get("/books?limit=7", headers=charset).headers["Cache-Status"] == "bookstall; hit"


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/*",
        "application/json",
        "APPLICATION/JSON",
        "text/html, */*;q=0.1",
        "application/json; charset=utf-8",
        "application/json, text/plain, */*",
        "application/json;q=0.001",
    ],
)
def test_json_is_accepted_in_any_form_of_the_accept_header(shared_client, accept):
    assert shared_client.get("/books", headers={"Accept": accept}).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "Accept",
        "Accept-Encoding",
        "Accept-Language",
        "If-None-Match",
        "If-Modified-Since",
        "Range",
        "X-Request-ID",
        "Authorization",
        "Cookie",
        "X-Forwarded-For",
        "Host",
        "Content-Length",
    ],
)
@pytest.mark.parametrize(
    "value", ["", "\xff", ',;="', "9" * 5_000, "bytes=5-1", "-1"], ids=lambda v: v[:9]
)
@pytest.mark.parametrize("path", ["/books", "/docs", "/healthz"])
def test_no_header_causes_a_500(shared_client, path, name, value):
    response = shared_client.get(path, headers={name: value})
    assert response.status_code in {200, 206, 304, 400, 401, 406, 416}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PATCH", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("TRACE", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("NONSENSE", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/books/1", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
        ("PUT", "/books/1", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
        ("PUT", "/books/1/reviews", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/openapi.json", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_an_unsupported_method_is_a_405_with_allow(
    shared_client, method, path, allowed, assert_problem
):
    response = shared_client.open(path, method=method)
    assert_problem(response, 405)
    assert response.headers["Allow"] == ", ".join(sorted(allowed))
    options = shared_client.options(path)
    assert options.headers["Allow"] == ", ".join(sorted(allowed))
