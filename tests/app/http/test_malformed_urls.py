"""What a path, a query or a header may hold that nobody of good will sends."""

import pytest

LONG = "9" * 5_000


def assert_problem(answer, status):
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]


@pytest.fixture(scope="module", autouse=True)
def some_books(shared_client):
    for number in range(3):
        words = {"title": f"Book {number}", "author": "A"}
        assert shared_client.post("/books", json=words).status_code == 201


@pytest.mark.parametrize(
    "identifier",
    [
        "0",
        "01",
        "-1",
        "+1",
        "1.0",
        "1e0",
        "0x1",
        "\u0661",
        "2147483648",
        "9223372036854775808",
        "99999999999999999999",
        LONG,
        "a",
        "%00",
        "1%00",
        "%ff",
        "%ED%A0%80",
        "%2e%2e",
        "1%20",
        "1;1",
    ],
    ids=lambda text: ascii(text[:30]),
)
@pytest.mark.parametrize("below", ["", "/reviews"])
def test_what_is_no_id_is_a_404(shared_client, identifier, below):
    assert_problem(shared_client.get(f"/books/{identifier}{below}"), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/books/",
        "/Books",
        "/books/1/",
        "/books/1/reviews/1",
        "/nothing",
        "/books//1",
        "/%ff",
        "/%00",
        "/docs/nothing",
        "/docs/..%2f..%2fdocs.html",
        "/docs/%00",
        "/static/../x",
    ],
)
def test_a_path_that_leads_nowhere_is_a_404(shared_client, path):
    assert_problem(shared_client.get(path), 404)


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("unknown=1", {"/unknown"}),
        ("Q=emma", {"/Q"}),
        ("=1", {"/"}),
        ("q", {"/q"}),
        ("q=", {"/q"}),
        ("q=%20", {"/q"}),
        ("q=%00", {"/q"}),
        ("q=a%0Ab", {"/q"}),
        (f"q={'x' * 501}", {"/q"}),
        ("author=", {"/author"}),
        ("isbn=1", {"/isbn"}),
        ("isbn=", {"/isbn"}),
        ("limit=", {"/limit"}),
        ("limit=0", {"/limit"}),
        ("limit=-0", {"/limit"}),
        ("limit=-1", {"/limit"}),
        ("limit=101", {"/limit"}),
        ("limit=1.0", {"/limit"}),
        ("limit=1e1", {"/limit"}),
        ("limit=%2B1", {"/limit"}),
        ("limit=%201", {"/limit"}),
        ("limit=01", {"/limit"}),
        ("limit=1_0", {"/limit"}),
        ("limit=%D9%A1", {"/limit"}),
        ("limit=true", {"/limit"}),
        ("limit=NaN", {"/limit"}),
        ("limit=2147483648", {"/limit"}),
        (f"limit={LONG}", {"/limit"}),
        ("limit=1&limit=2", {"/limit"}),
        ("q=a&q=a", {"/q"}),
        ("include_total=1", {"/include_total"}),
        ("include_total=True", {"/include_total"}),
        ("include_total=", {"/include_total"}),
        ("limit=0&q=&page=2", {"/limit", "/q", "/page"}),
        ("&".join(f"a{number}=1" for number in range(500)), {f"/a{n}" for n in range(500)}),
    ],
    ids=lambda value: ascii(sorted(value) if isinstance(value, set) else value)[:40],
)
def test_a_wrong_query_is_a_422_that_names_it(shared_client, query, pointers):
    answer = shared_client.get(f"/books?{query}")
    assert_problem(answer, 422)
    assert {error["pointer"] for error in answer.json["errors"]} == pointers
    assert {error["in"] for error in answer.json["errors"]} == {"query"}


@pytest.mark.parametrize(
    "query", ["", "&", "&&limit=100&", "q=%25zz", "q=a;b=c", "q=%", "q=+Book+"]
)
def test_a_query_that_is_only_unusual_is_answered(shared_client, query):
    assert shared_client.get(f"/books?{query}").status_code == 200


@pytest.mark.parametrize(
    "query", ["q=%ff", "q=%ED%A0%80", "%ff=1", "q=%C0%80", "cursor=%ff", "unknown=%ff"]
)
@pytest.mark.parametrize("path", ["/books", "/books/1", "/books/1/reviews"])
def test_a_query_that_is_not_utf_8_is_a_400(shared_client, path, query):
    assert_problem(shared_client.get(f"{path}?{query}"), 400)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        ".",
        "..",
        "%00",
        "%C3%A9",
        "a" * 5_000,
        "WzFd.x",
        "bnVsbA.",
        "W10.AAAAAAAAAAAAAAAAAAAAAAAAAAA",
    ],
    ids=lambda text: text[:30],
)
@pytest.mark.parametrize("path", ["/books", "/books/1/reviews"])
def test_a_cursor_that_we_did_not_make_is_a_400(shared_client, path, cursor):
    assert_problem(shared_client.get(f"{path}?cursor={cursor}"), 400)


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
def test_a_client_that_does_not_take_json_is_told_so(shared_client, accept):
    assert_problem(shared_client.get("/books", headers={"Accept": accept}), 406)
    answer = shared_client.post(
        "/books", json={"title": "T", "author": "A"}, headers={"Accept": accept}
    )
    assert_problem(answer, 406)


def test_a_hit_of_the_cache_is_for_no_client_that_does_not_take_json(
    make_app, sqlite_database, redis_url
):
    client = make_app(sqlite_database, redis_url=redis_url).test_client()
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
def test_a_client_that_takes_json_in_any_words_gets_it(shared_client, accept):
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
def test_no_header_makes_a_500(shared_client, path, name, value):
    answer = shared_client.get(path, headers={name: value})
    assert answer.status_code in {200, 206, 304, 400, 401, 406, 416}


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PATCH", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("TRACE", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("NONSENSE", "/books", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/books/1", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/books/1", {"GET", "HEAD", "OPTIONS"}),
        ("PUT", "/books/1/reviews", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("POST", "/openapi.json", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_there_is_a_405_that_names_those_that_are(
    shared_client, method, path, allowed
):
    answer = shared_client.open(path, method=method)
    assert_problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("number", [2**31, 2**31 + 1, 2_999_999_999, 9_999_999_999, 10**19, 0])
@pytest.mark.parametrize("method", ["post", "get"])
def test_an_id_that_no_product_can_have_is_not_found_whatever_the_method(client, number, method):
    path = f"/products/{number}/stock-adjustments"
    body = {"json": {"delta": 1}} if method == "post" else {}
    assert getattr(client, method)(path, **body).status_code == 404
