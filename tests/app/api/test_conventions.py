"""The manners that all routes with a contract share: a route that drifts fails here."""

import json
import re

import pytest

from app.config import Settings
from app.factory import create_app
from app.http.route_options import options_of

ANY_SETTINGS = Settings(database_url="sqlite://", secret_key="any secret at all", testing=True)
REQUEST_ID = re.compile(r"[0-9a-f]{16}")


def routes():
    """Return method and rule of every route that has a contract."""
    app = create_app(ANY_SETTINGS)
    return sorted(
        (method, rule.rule, options_of(app.view_functions[rule.endpoint]))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if options_of(app.view_functions[rule.endpoint]).response is not None
    )


ROUTES = routes()
QUERIES = {"/products/search": "?name=lamp"}
"""What a list must be asked with, where that is not nothing."""
BODIES = {
    ("POST", "/books"): {"title": "Emma", "author": "Jane Austen"},
    ("POST", "/books/1/reviews"): {"rating": 5, "reviewer": "Ana", "text": "Good."},
    ("POST", "/products"): {"sku": "L-1", "name": "Lamp", "price": "9.90", "stock_level": 3},
    ("POST", "/products/1/stock-adjustments"): {"delta": 1},
    ("PATCH", "/products/1"): {"price": "9.95"},
}
"""A right body for every write, in an order in which each finds what it needs."""


def address(rule):
    """Return a path that leads to ``rule``: 1 for each id, and the query that it needs."""
    path = re.sub(r"<[^>]+>", "1", rule)
    return path + QUERIES.get(path, "")


def also(path, query):
    """Add ``query`` to the address ``path``."""
    return f"{path}{'&' if '?' in path else '?'}{query}"


def each(wanted=lambda method, options: True):
    """Give a test every route for which ``wanted`` holds, with 1 for each id."""
    chosen = [(m, rule) for m, rule, options in ROUTES if wanted(m, options)]
    return pytest.mark.parametrize(
        ("method", "path"),
        [(method, address(rule)) for method, rule in chosen],
        ids=[f"{method} {rule}" for method, rule in chosen],
    )


def reads(method, options):
    return method == "GET"


def writes(method, options):
    return options.body is not None


def lists(method, options):
    return options.response.paged


@pytest.fixture(scope="module", autouse=True)
def world(shared_client):
    """One of everything, so that each path with a 1 in it leads somewhere."""
    for (method, path), body in BODIES.items():
        assert shared_client.open(path, method=method, json=body).status_code < 300


def assert_problem(answer, status):
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/problem+json"
    problem = answer.json
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]


def test_there_are_routes():
    assert len(ROUTES) >= 5


@each()
def test_an_unknown_query_name_is_a_422(shared_client, method, path):
    answer = shared_client.open(also(path, "nonsense=1"), method=method, json={})
    assert_problem(answer, 422)
    assert answer.json["errors"][0]["pointer"] == "/nonsense"
    assert answer.json["errors"][0]["in"] == "query"


@each()
def test_a_client_that_takes_no_json_gets_a_406(shared_client, method, path):
    headers = {"Accept": "text/html"}
    assert_problem(shared_client.open(path, method=method, json={}, headers=headers), 406)


@each()
def test_every_answer_says_what_the_cache_did(shared_client, method, path):
    answer = shared_client.open(path, method=method, json={})
    assert re.fullmatch(
        r"bookstall; (hit|fwd=(miss|bypass)(; .+)?)", answer.headers["Cache-Status"]
    )


@each()
def test_a_request_id_is_made(shared_client, method, path):
    first, second = (
        shared_client.open(path, method=method, json={}).headers["X-Request-ID"] for _ in range(2)
    )
    assert REQUEST_ID.fullmatch(first)
    assert first != second


@each()
def test_a_request_id_is_taken(shared_client, method, path):
    headers = {"X-Request-ID": "a.b/c-1:2"}
    answer = shared_client.open(path, method=method, json={}, headers=headers)
    assert answer.headers["X-Request-ID"] == "a.b/c-1:2"


@each()
def test_another_method_is_a_405_with_allow(shared_client, method, path):
    answer = shared_client.open(path, method="PROPFIND")
    assert_problem(answer, 405)
    assert method in answer.headers["Allow"]


@each()
def test_the_route_stands_in_the_document(shared_client, method, path):
    paths = shared_client.get("/openapi.json").json["paths"]
    found = [p for p in paths if re.fullmatch(re.sub(r"{\w+}", "1", p), path.partition("?")[0])]
    assert len(found) == 1
    assert method.lower() in paths[found[0]]


@each(reads)
def test_a_read_has_an_etag_and_then_a_304_with_it(shared_client, method, path):
    answer = shared_client.get(path)
    assert answer.status_code == 200
    etag = answer.headers["ETag"]
    again = shared_client.get(path, headers={"If-None-Match": etag})
    assert again.status_code == 304
    assert again.headers["ETag"] == etag
    assert again.data == b""
    assert "Content-Type" not in again.headers


@each(reads)
def test_head_is_get_without_the_body(shared_client, method, path):
    whole, head = shared_client.get(path), shared_client.head(path)
    assert head.status_code == 200
    assert head.data == b""
    differing = {"X-Request-ID"}
    assert {k: v for k, v in head.headers if k not in differing} == {
        k: v for k, v in whole.headers if k not in differing
    }


@each(reads)
def test_a_read_takes_no_body(shared_client, method, path):
    answer = shared_client.get(path, data=b"nonsense", content_type="text/plain")
    assert answer.status_code == 200


@each(writes)
def test_a_write_without_a_content_type_is_a_415(shared_client, method, path):
    assert_problem(shared_client.open(path, method=method, data=b"{}"), 415)


@each(writes)
def test_a_write_that_is_not_json_is_a_400(shared_client, method, path):
    answer = shared_client.open(path, method=method, data=b"{", content_type="application/json")
    assert_problem(answer, 400)


@each(writes)
def test_a_write_with_an_unknown_field_is_a_422(shared_client, method, path):
    answer = shared_client.open(path, method=method, json={"nonsense": 1})
    assert_problem(answer, 422)
    assert "/nonsense" in {error["pointer"] for error in answer.json["errors"]}
    assert {error["in"] for error in answer.json["errors"]} == {"body"}


@each(writes)
def test_a_write_that_is_too_large_is_a_413(shared_client, method, path):
    body = json.dumps({"nonsense": "x" * 1_048_577})
    answer = shared_client.open(path, method=method, data=body, content_type="application/json")
    assert_problem(answer, 413)


@each(lists)
def test_a_list_is_a_page(shared_client, method, path):
    page = shared_client.get(path).json
    assert page.keys() == {"items", "next_cursor"}
    assert page["items"]
    counted = shared_client.get(also(path, "include_total=true")).json
    assert counted["total"] == len(counted["items"])


@each(lists)
@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "x", ""])
def test_a_limit_out_of_bounds_is_a_422(shared_client, method, path, limit):
    answer = shared_client.get(also(path, f"limit={limit}"))
    assert_problem(answer, 422)
    assert [error["pointer"] for error in answer.json["errors"]] == ["/limit"]


@each(lists)
@pytest.mark.parametrize("limit", [1, 100])
def test_a_limit_within_its_bounds_is_taken(shared_client, method, path, limit):
    assert 1 <= len(shared_client.get(also(path, f"limit={limit}")).json["items"]) <= limit


@each(lists)
def test_a_cursor_that_is_not_ours_is_a_400(shared_client, method, path):
    assert_problem(shared_client.get(also(path, "cursor=nonsense")), 400)


@each()
def test_without_a_database_the_answer_is_a_503_that_says_when_to_come_back(make_app, method, path):
    app = make_app("postgresql://u@127.0.0.1:1/none")
    answer = app.test_client().open(path, method=method, json=BODIES.get((method, path)))
    assert_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) > 0


def test_every_write_has_a_right_body_here():
    assert {(m, address(rule)) for m, rule, options in ROUTES if options.body} == set(BODIES)
