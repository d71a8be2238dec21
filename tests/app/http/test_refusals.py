"""Each refusal is counted once, under its kind; other errors are not."""

import pytest
from prometheus_client import REGISTRY

from app import errors
from app.config import Rate
from app.db.snapshots import TooManyExports
from app.errors import ApiError
from app.http.refusals import KINDS

UNCOUNTED = {
    errors.BadRequest,
    errors.Conflict,
    errors.InternalError,
    errors.MethodNotAllowed,
    errors.NotAcceptable,
    errors.NotFound,
    errors.RangeNotSatisfiable,
    errors.Unprocessable,
    errors.UnsupportedMediaType,
    errors.WindowPassed,
}
BOOK = {"title": "Emma", "author": "Jane Austen"}


def refusals():
    """Return the refusals of each kind so far."""
    names = set(KINDS.values())
    return {
        kind: REGISTRY.get_sample_value("bookstall_refused_total", {"kind": kind}) for kind in names
    }


@pytest.fixture
def count():
    """What has been refused since the beginning of the test, by kind."""
    before = refusals()
    return lambda: {kind: n - before[kind] for kind, n in refusals().items() if n > before[kind]}


def subclasses(kind):
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def test_each_error_has_a_kind_or_is_about_what_the_client_asked_for():
    ours = {each for each in subclasses(ApiError) if each.__module__.startswith("app.")}
    assert ours == KINDS.keys() | UNCOUNTED
    assert TooManyExports in KINDS


def test_refusals_of_rest_are_counted_by_kind(make_app, sqlite_database, count):
    settings = {"require_api_key": True, "max_body_bytes": 2_000, "rate_limit_write": Rate(2, 3600)}
    client = make_app(sqlite_database, **settings).test_client()
    client.post("/books", json=BOOK)
    assert count() == {"unauthorized": 1}
    client.get("/books", headers={"Authorization": "Bearer wrong"})
    assert count() == {"unauthorized": 2}
    for _ in range(2):
        client.post("/books", json=BOOK)
    assert count() == {"unauthorized": 3, "rate_limit": 1}
    for path in ("/books/999", "/books?limit=0", "/books?cursor=wrong", "/no-such-path"):
        assert client.get(path).status_code in {400, 404, 422}
    assert count() == {"unauthorized": 3, "rate_limit": 1}


def test_a_body_or_a_precondition_is_refused(make_app, sqlite_database, count):
    client = make_app(sqlite_database, max_body_bytes=2_000).test_client()
    assert client.post("/books", json={**BOOK, "title": "x" * 3_000}).status_code == 413
    product = client.post("/products", json={"sku": "A-1", "name": "Lamp", "price": "1"}).json["id"]
    change = {"headers": {"If-Match": '"7"'}, "json": {"price": "2"}}
    assert client.patch(f"/products/{product}", **change).status_code == 412
    assert count() == {"too_large": 1, "precondition": 1}


def test_a_database_that_is_unavailable_is_counted(make_app, count):
    client = make_app("postgresql://u@127.0.0.1:1/none").test_client()
    assert client.get("/books").status_code == 503
    assert count() == {"database": 1}


def test_a_refused_mutation_is_counted(make_app, sqlite_database, count):
    client = make_app(sqlite_database, require_api_key=True).test_client()
    mutation = 'mutation { addReview(bookId: 1, rating: 4, reviewer: "A", text: "B") { id } }'
    response = client.post("/graphql", json={"query": mutation})
    assert response.json["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED", response.json
    assert count() == {"unauthorized": 1}
