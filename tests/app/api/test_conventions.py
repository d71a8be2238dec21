"""The conventions of the API, tested on every documented route."""

import json
import re

import pytest

from app.config import Settings
from app.extensions import db
from app.factory import create_app
from app.http.route_options import options_of
from app.webhooks.models import WebhookDelivery

ANY_SETTINGS = Settings(database_url="sqlite://", secret_key="any secret at all", testing=True)
REQUEST_ID = re.compile(r"[0-9a-f]{16}")


def routes():
    """Return the method, rule and options of every documented route."""
    app = create_app(ANY_SETTINGS)
    return sorted(
        (method, rule.rule, options_of(app.view_functions[rule.endpoint]))
        for rule in app.url_map.iter_rules()
        for method in rule.methods - {"HEAD", "OPTIONS"}
        if options_of(app.view_functions[rule.endpoint]).response is not None
    )


ROUTES = routes()
QUERIES = {"/products/search": "?name=lamp"}
"""The query of the lists that require one."""
BODIES = {
    ("POST", "/books"): {"title": "Emma", "author": "Jane Austen"},
    ("POST", "/books/1/reviews"): {"rating": 5, "reviewer": "Ana", "text": "Good."},
    ("POST", "/products"): {"sku": "L-1", "name": "Lamp", "price": "9.90", "stock_level": 3},
    ("POST", "/products/1/stock-adjustments"): {"delta": 1},
    ("POST", "/products/bulk"): {"operations": [{"op": "adjust", "id": 1, "delta": 1}]},
    ("POST", "/products/1/holds"): {"quantity": 1, "expires_in": 900},
    ("POST", "/webhooks"): {"url": "https://shop.example/events", "types": ["stock.changed"]},
    ("POST", "/webhooks/1/replay"): {"after": "now"},
    ("POST", "/webhooks/1/rotate"): {"grace": 60},
    ("PATCH", "/webhooks/1"): {"description": "search index"},
    ("PATCH", "/products/1"): {"price": "9.95"},
    ("PATCH", "/books/1"): {"title": "Emma, corrected"},
    ("PATCH", "/reviews/1"): {"rating": 4},
}
"""A valid body for every write, in an order in which each finds the resources it needs."""


def url_of(rule, number="1"):
    """Return a URL that matches ``rule``: with the id, and the query that it requires."""
    path = re.sub(r"<[^>]+>", number, rule)
    return path + QUERIES.get(path, "")


def with_query(path, query):
    """Add ``query`` to the URL ``path``."""
    return f"{path}{'&' if '?' in path else '?'}{query}"


def each_route(selects=lambda method, options: True):
    """Parametrize a test with every route that ``selects`` selects, with 1 for each id.

    What the other tests need is not deleted: that has an unknown id.
    """
    chosen = [(m, rule) for m, rule, options in ROUTES if selects(m, options)]
    return pytest.mark.parametrize(
        ("method", "path"),
        [(method, url_of(rule, "99" if method == "DELETE" else "1")) for method, rule in chosen],
        ids=[f"{method} {rule}" for method, rule in chosen],
    )


def reads(method, options):
    return method == "GET"


def documents(method, options):
    return method == "GET" and not options.response.streams


def writes(method, options):
    return options.body is not None


def lists(method, options):
    return options.response.paged


@pytest.fixture(scope="module", autouse=True)
def resources(shared_client):
    """Create one of each resource, so that the id 1 exists."""
    for (method, path), body in BODIES.items():
        assert shared_client.open(path, method=method, json=body).status_code < 300
    with shared_client.application.app_context():
        delivery = {"message_id": "m", "type": "stock.changed", "attempt": 1, "duration_ms": 9}
        db.session.add(WebhookDelivery(webhook_id=1, status=204, **delivery))
        db.session.commit()


def assert_problem(response, status):
    assert response.status_code == status, response.data
    assert response.mimetype == "application/problem+json"
    problem = response.json
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["status"] == status
    assert problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-ID"]


def test_there_are_documented_routes():
    assert len(ROUTES) >= 5


@each_route()
def test_an_unknown_query_parameter_is_a_422(shared_client, method, path):
    response = shared_client.open(with_query(path, "unknown=1"), method=method, json={})
    assert_problem(response, 422)
    assert response.json["errors"][0]["pointer"] == "/unknown"
    assert response.json["errors"][0]["in"] == "query"


@each_route()
def test_a_client_that_does_not_accept_json_gets_a_406(shared_client, method, path):
    headers = {"Accept": "text/html"}
    assert_problem(shared_client.open(path, method=method, json={}, headers=headers), 406)


@each_route()
def test_every_response_has_a_cache_status(shared_client, method, path):
    response = shared_client.open(path, method=method, json={})
    assert re.fullmatch(
        r"bookstall; (hit|fwd=(miss|bypass)(; .+)?)", response.headers["Cache-Status"]
    )


@each_route()
def test_a_request_without_an_id_gets_a_new_one(shared_client, method, path):
    first, second = (
        shared_client.open(path, method=method, json={}).headers["X-Request-ID"] for _ in range(2)
    )
    assert REQUEST_ID.fullmatch(first)
    assert first != second


@each_route()
def test_the_request_id_of_the_client_is_used(shared_client, method, path):
    headers = {"X-Request-ID": "a.b/c-1:2"}
    response = shared_client.open(path, method=method, json={}, headers=headers)
    assert response.headers["X-Request-ID"] == "a.b/c-1:2"


@each_route()
def test_an_unsupported_method_is_a_405_with_allow(shared_client, method, path):
    response = shared_client.open(path, method="PROPFIND")
    assert_problem(response, 405)
    assert method in response.headers["Allow"]


@each_route()
def test_the_route_is_in_the_openapi_document(shared_client, method, path):
    paths = shared_client.get("/openapi.json").json["paths"]
    matching = [
        p for p in paths if re.fullmatch(re.sub(r"{\w+}", r"\\d+", p), path.partition("?")[0])
    ]
    assert len(matching) == 1
    assert method.lower() in paths[matching[0]]


@each_route(documents)
def test_a_read_has_an_etag_that_gives_a_304(shared_client, method, path):
    response = shared_client.get(path)
    assert response.status_code == 200
    etag = response.headers["ETag"]
    not_modified = shared_client.get(path, headers={"If-None-Match": etag})
    assert not_modified.status_code == 304
    assert not_modified.headers["ETag"] == etag
    assert not_modified.data == b""
    assert "Content-Type" not in not_modified.headers


@each_route(reads)
def test_head_returns_the_headers_of_get_without_the_body(shared_client, method, path):
    get, head = shared_client.get(path), shared_client.head(path)
    assert head.status_code == 200
    assert head.data == b""
    for response in (get, head):
        del response.headers["X-Request-ID"]
        del response.headers["Cache-Status"]  # the second may be a hit
    assert list(head.headers) == list(get.headers)


@each_route(reads)
def test_a_read_ignores_the_body(shared_client, method, path):
    response = shared_client.get(path, data=b"ignored", content_type="text/plain")
    assert response.status_code == 200


@each_route(writes)
def test_a_write_without_a_content_type_is_a_415(shared_client, method, path):
    assert_problem(shared_client.open(path, method=method, data=b"{}"), 415)


@each_route(writes)
def test_a_write_with_invalid_json_is_a_400(shared_client, method, path):
    response = shared_client.open(path, method=method, data=b"{", content_type="application/json")
    assert_problem(response, 400)


@each_route(writes)
def test_a_write_with_an_unknown_field_is_a_422(shared_client, method, path):
    response = shared_client.open(path, method=method, json={"unknown": 1})
    assert_problem(response, 422)
    assert "/unknown" in {error["pointer"] for error in response.json["errors"]}
    assert {error["in"] for error in response.json["errors"]} == {"body"}


@each_route(writes)
def test_a_write_that_is_too_large_is_a_413(shared_client, method, path):
    body = json.dumps({"unknown": "x" * 8_388_609})
    response = shared_client.open(path, method=method, data=body, content_type="application/json")
    assert_problem(response, 413)


@each_route(lists)
def test_a_list_is_a_page(shared_client, method, path):
    page = shared_client.get(path).json
    assert page.keys() == {"items", "next_cursor"}
    assert page["items"]
    with_total = shared_client.get(with_query(path, "include_total=true")).json
    assert with_total["total"] == len(with_total["items"])


@each_route(lists)
@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "x", ""])
def test_a_limit_out_of_bounds_is_a_422(shared_client, method, path, limit):
    response = shared_client.get(with_query(path, f"limit={limit}"))
    assert_problem(response, 422)
    assert [error["pointer"] for error in response.json["errors"]] == ["/limit"]


@each_route(lists)
@pytest.mark.parametrize("limit", [1, 100])
def test_a_limit_within_bounds_is_accepted(shared_client, method, path, limit):
    assert 1 <= len(shared_client.get(with_query(path, f"limit={limit}")).json["items"]) <= limit


@each_route(lists)
def test_an_invalid_cursor_is_a_400(shared_client, method, path):
    assert_problem(shared_client.get(with_query(path, "cursor=invalid")), 400)


@each_route()
def test_without_a_database_every_route_is_a_503_with_retry_after(make_app, method, path):
    app = make_app("postgresql://u@127.0.0.1:1/none")
    response = app.test_client().open(path, method=method, json=BODIES.get((method, path)))
    assert_problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0


def test_every_write_has_a_valid_body_in_this_module():
    assert {(m, url_of(rule)) for m, rule, options in ROUTES if options.body} == set(BODIES)


def test_the_location_of_everything_created_can_be_read(client):
    create = {url_of(rule) for _, rule, options in ROUTES if options.response.location}
    for (method, path), body in BODIES.items():
        if method == "POST" and path in create:
            first, again = (
                client.post(path, json=body, headers={"Idempotency-Key": path}) for _ in range(2)
            )
            assert first.headers["Location"] == again.headers["Location"]
            assert client.get(first.headers["Location"]).status_code == 200


def test_every_post_with_an_idempotency_key_is_written_once(client):
    for (method, path), body in BODIES.items():
        if method == "POST":
            headers = {"Idempotency-Key": f"key-of-{path}"}
            first, repeated = (client.post(path, json=body, headers=headers) for _ in range(2))
            assert first.status_code == repeated.status_code < 300
            assert first.data == repeated.data
            assert repeated.headers["Idempotency-Replayed"] == "true"
