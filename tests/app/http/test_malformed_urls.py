"""Malformed paths, queries and cursors."""

import pytest

LONG = "9" * 5_000


@pytest.fixture(scope="module", autouse=True)
def some_books(shared_client):
    for number in range(3):
        body = {"title": f"Book {number}", "author": "A"}
        assert shared_client.post("/books", json=body).status_code == 201


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
def test_an_invalid_id_is_a_404(shared_client, identifier, below, assert_problem):
    assert_problem(shared_client.get(f"/books/{identifier}{below}"), 404)


@pytest.mark.parametrize(
    "path",
    [
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
def test_an_unknown_path_is_a_404(shared_client, path, assert_problem):
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
        ("&".join(f"a{number}=1" for number in range(500)), {f"/a{n}" for n in range(20)}),
    ],
    ids=lambda value: ascii(sorted(value) if isinstance(value, set) else value)[:40],
)
def test_an_invalid_query_is_a_422_with_pointers(shared_client, query, pointers, assert_problem):
    response = shared_client.get(f"/books?{query}")
    assert_problem(response, 422)
    assert {error["pointer"] for error in response.json["errors"]} == pointers
    assert {error["in"] for error in response.json["errors"]} == {"query"}


@pytest.mark.parametrize(
    "query", ["", "&", "&&limit=100&", "q=%25zz", "q=a;b=c", "q=%", "q=+Book+"]
)
def test_an_unusual_query_that_is_valid_is_a_200(shared_client, query):
    assert shared_client.get(f"/books?{query}").status_code == 200


@pytest.mark.parametrize(
    "query", ["q=%ff", "q=%ED%A0%80", "%ff=1", "q=%C0%80", "cursor=%ff", "unknown=%ff"]
)
@pytest.mark.parametrize("path", ["/books", "/books/1", "/books/1/reviews"])
def test_a_query_that_is_not_utf_8_is_a_400(shared_client, path, query, assert_problem):
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
def test_a_forged_cursor_is_a_400(shared_client, path, cursor, assert_problem):
    assert_problem(shared_client.get(f"{path}?cursor={cursor}"), 400)


@pytest.mark.parametrize("number", [2**31, 2**31 + 1, 2_999_999_999, 9_999_999_999, 10**19, 0])
@pytest.mark.parametrize("method", ["post", "get"])
def test_an_id_out_of_range_is_a_404_for_every_method(client, number, method):
    path = f"/products/{number}/stock-adjustments"
    body = {"json": {"delta": 1}} if method == "post" else {}
    assert getattr(client, method)(path, **body).status_code == 404
