"""Keys, scopes, rate limits and introspection."""

import pytest
from graphql import get_introspection_query

from app.config import Rate
from tests.app.graphql.steps import ADD, BOOKS, ask, codes, make_key, refused, reviews

INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
)
ALL = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)


@pytest.mark.parametrize("query", [get_introspection_query(), INTROSPECTION, ALL])
def test_introspection_is_open_where_keys_are_not_required(shared_client, query):
    found = ask(shared_client, query).json["data"]["__schema"]
    assert "BookConnection" in {kind["name"] for kind in found["types"]}


def test_introspection_needs_a_key_where_keys_are_required(make_app, sqlite_database):
    app = make_app(sqlite_database, require_api_key=True)
    client = app.test_client()
    for query in (
        INTROSPECTION,
        '{ a: __type(name: "Book") { name } }',
        "{ ... { __schema {a} } }",
    ):
        assert refused(client, query) == ["UNAUTHENTICATED"]
    key = make_key(app)
    assert ask(client, INTROSPECTION, key).json["data"]["__schema"]
    assert "Did you mean" in ask(client, "{ bookz { id } }", key).json["errors"][0]["message"]
    assert "Did you mean" not in ask(client, "{ bookz { id } }").json["errors"][0]["message"]
    assert ask(client, BOOKS).json == {"data": {"books": {"nodes": []}}}
    assert ask(client, "{ __typename }").json == {"data": {"__typename": "Query"}}


def test_introspection_rejects_recursive_queries(shared_client):
    round_ = "fields { type " * 4
    query = (
        f"{{ __schema {{ types {{ {round_.replace('type ', 'type { ')} name {'} }' * 4} }} }} }}"
    )
    assert "GRAPHQL_VALIDATION_FAILED" in refused(shared_client, query)


def test_a_mutation_needs_the_same_scope_as_rest(make_app, database):
    app = make_app(database, require_api_key=True)
    client = app.test_client()
    both = make_key(app, "reviews:write", "books:write")
    client.post("/books", json={"title": "Emma", "author": "Jane Austen"}, headers=both)
    assert codes(ask(client, ADD)) == ["UNAUTHENTICATED"]
    assert codes(ask(client, ADD, make_key(app, "books:write"))) == ["FORBIDDEN"]
    assert reviews(app) == 0
    response = ask(client, ADD, make_key(app, "reviews:write"))
    assert response.json == {"data": {"addReview": {"id": "1"}}}
    wrong = ask(client, BOOKS, {"Authorization": "Bearer nonsense"})
    assert (wrong.status_code, wrong.mimetype) == (401, "application/problem+json")


def test_a_query_counts_as_a_read_and_a_mutation_also_as_a_write(make_app, sqlite_database):
    limits = {"rate_limit_read": Rate(4, 3_600), "rate_limit_write": Rate(2, 3_600)}
    app = make_app(sqlite_database, web_concurrency=1, **limits)
    client = app.test_client()
    client.post("/books", json={"title": "Emma", "author": "Jane Austen"})
    assert ask(client, BOOKS).headers["RateLimit"].startswith('"read";r=3;')
    written = ask(client, ADD)
    assert written.json["data"]
    assert written.headers["RateLimit"].startswith('"write";r=0;')
    response = ask(client, ADD)
    (error,) = response.json["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (200, "TOO_MANY_REQUESTS")
    assert error["extensions"]["retryAfter"] > 0
    assert ask(client, BOOKS).status_code == 200
    beyond = ask(client, BOOKS)
    assert (beyond.status_code, beyond.mimetype) == (429, "application/problem+json")
    assert reviews(app) == 1
