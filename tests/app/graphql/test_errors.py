"""Failures and invalid variables: which code, and no internal details."""

import json

import pytest
from sqlalchemy import event

from app.extensions import db
from bookreview import services
from tests.app.graphql.steps import ADD, BOOKS, ask, codes, reviews


def test_a_failed_commit_is_an_internal_error(app, client, book, caplog):
    book()
    failing = [True]

    def fail(_):
        if failing:
            failing.clear()
            raise RuntimeError("a secret of our insides")

    with app.app_context():
        event.listen(db.engine, "commit", fail)
    response = ask(client, ADD)
    assert codes(response) == ["INTERNAL"]
    assert response.json["data"] is None
    assert reviews(app) == 0
    assert ask(client, ADD).json["data"]
    assert reviews(app) == 1


def test_an_internal_error_reveals_only_the_request_id(app, client, monkeypatch, caplog):
    def fault(*_, **__):
        raise ZeroDivisionError("a secret of our insides")

    monkeypatch.setattr(services, "add_review", fault)
    response = ask(client, ADD, {"X-Request-ID": "a-1"})
    (error,) = response.json["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "a-1"}
    assert "secret" not in response.text
    assert "a secret of our insides" in caplog.text
    assert "a-1" in {getattr(record, "request_id", None) for record in caplog.records}


@pytest.mark.parametrize("query", [BOOKS, "{ book(id: 1) { id } }", "{ eventCursor }", ADD])
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
def test_without_a_database_the_code_is_unavailable(make_app, query, key):
    client = make_app("postgresql://u@127.0.0.1:1/none").test_client()
    response = ask(client, query, key)
    assert response.status_code in (200, 503)
    (error,) = response.json["errors"]
    assert error["extensions"] == {"code": "UNAVAILABLE", "retryAfter": 2}
    assert "127.0.0.1" not in response.text


@pytest.mark.parametrize(
    ("number", "rating"), [("5", 5), ("5.0", 5), ("0.5e1", 5), ("5.5", None), ("-0", None)]
)
def test_a_number_is_an_integer_by_value_not_by_notation(client, book, number, rating):
    book()
    query = ADD.replace("mutation", "mutation ($r: Int!)").replace("4", "$r")
    body = f'{{"query": {json.dumps(query)}, "variables": {{"r": {number}}}}}'
    response = client.post("/graphql", data=body, content_type="application/json")
    assert "Decimal" not in response.text
    if rating:
        query = "{ reviews(bookId: 1) { nodes { rating } } }"
        assert ask(client, query).json["data"]["reviews"]["nodes"] == [{"rating": rating}]
    else:
        assert codes(response) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("ID!", None),
        ("ID!", {"a": 1}),
        ("ID!", ["\ud800"]),
        ("ID!", True),
        ("Int", "\ud800"),
        ("Int", 1.5),
        ("Int", 10**4_000),
        ("Int", [[[[[[1]]]]]]),
    ],
)
def test_a_variable_of_the_wrong_type_is_named(shared_client, declared, value):
    field = "book(id: $x) { id }" if "ID" in declared else "books(first: $x) { nodes { id } }"
    response = ask(shared_client, f"query ($x: {declared}) {{ {field} }}", variables={"x": value})
    assert codes(response) == ["BAD_USER_INPUT"]
    assert "$x" in response.json["errors"][0]["message"]
    assert len(response.data) < 10_000


def test_null_for_a_required_argument_is_bad_user_input(shared_client):
    query = 'query ($x: ID = "1") { book(id: $x) { id } }'
    assert codes(ask(shared_client, query, variables={"x": None})) == ["BAD_USER_INPUT"]


def test_undeclared_variables_are_ignored(shared_client):
    response = ask(shared_client, BOOKS, variables={"a": "\ud800", "b": [1.5, None]}, other=1)
    assert "errors" not in response.json
