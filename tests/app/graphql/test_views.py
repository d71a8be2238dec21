"""GraphQL over HTTP: media types, invalid requests, invalid documents."""

import json

import pytest

from app.factory import schema
from app.graphql.execution import prepare
from tests.app.graphql.steps import BOOKS, GRAPHQL_JSON, ask, refused


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}; charset=utf-8, application/json; charset=utf-8", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0, application/json", "application/json"),
    ],
)
def test_the_client_chooses_the_media_type(shared_client, accept, kind):
    response = ask(shared_client, BOOKS, {"Accept": accept} if accept else {})
    assert (response.status_code, response.mimetype) == (200, kind)
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers


def test_a_client_that_accepts_neither_gets_a_406(shared_client):
    response = ask(shared_client, BOOKS, {"Accept": "text/html"})
    assert (response.status_code, response.mimetype) == (406, "application/problem+json")
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b'"{ books { nodes { id } } }"',
        b"[]",
        b'[{"query": "{ __typename }"}]',
        b"{}",
        b'{"query": null}',
        b'{"query": 5}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": "{}"}',
        b'{"query": "{ __typename }", "operationName": 1}',
        b'{"query": "{ __typename }", "extensions": 1}',
        b'{"query": "{ __typename }", "query": "{ __typename }"}',
        b'{"query": "{ __typename }", "variables": {"x": NaN}}',
        b'{"query": "{ __typename }", "variables": {"x": 1e999}}',
        b'{"query": "{ __typename }", "variables": {"x": 1, "x": 2}}',
        b'{"query": "\xff"}',
        b'{"query": "{ __typename }", "variables": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    ],
)
def test_an_invalid_graphql_request_gets_a_problem_document(shared_client, body):
    response = shared_client.post("/graphql", data=body, content_type="application/json")
    assert (response.status_code, response.mimetype) == (400, "application/problem+json")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_media_types_that_cross_site_forms_can_send_are_rejected(shared_client, kind):
    body = json.dumps({"query": BOOKS})
    assert shared_client.post("/graphql", data=body, content_type=kind).status_code == 415


def test_a_body_that_is_too_large_is_a_413(shared_client):
    assert ask(shared_client, BOOKS, variables={"x": "x" * 1_048_577}).status_code == 413


@pytest.mark.parametrize(
    "query",
    [
        "",
        "{",
        "nonsense",
        "{ a \x00 }",
        "{ a \ud800 }",
        '{ book(id: "\ud800") { id } ',
        "{ a }" + " " * 10_000,
        "{ " + "a " * 1_001 + "}",
        "#\n" * 101 + BOOKS,
        "{a" * 2_000,
        "{ book(id: " + "[" * 900 + " ",
    ],
)
def test_a_document_that_cannot_be_parsed_is_rejected(shared_client, query):
    assert refused(shared_client, query) == ["GRAPHQL_PARSE_FAILED"]


@pytest.mark.parametrize(
    "query",
    [
        "{ nonsense }",
        "{ books }",
        "{ book { id } }",
        '{ books(first: "1") { nodes { id } } }',
        "{ books(first: 99999999999) { nodes { id } } }",
        "{ books(first: " + "9" * 5_000 + ") { nodes { id } } }",
        "query ($x: Nonsense) { __typename }",
        "query A { __typename } query A { __typename }",
        "{ ...F } fragment F on Query { ...F }",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
        "{ __typename @nonsense }",
        "{ __typename @skip(if: true) @skip(if: true) }",
        "type A { b: Int }",
        "fragment F on Query { __typename }",
        "subscription { a: reviewAdded { cursor } b: reviewAdded { cursor } }",
        "{ books @stream { nodes { id } } }",
        "query A { __typename } query B { __typename }",
    ],
)
def test_an_invalid_document_is_rejected(shared_client, query):
    assert set(refused(shared_client, query)) == {"GRAPHQL_VALIDATION_FAILED"}


def test_one_of_several_operations_is_chosen_by_its_name(shared_client):
    query = "query A { a: __typename } query B { b: __typename }"
    assert ask(shared_client, query, operationName="B").json == {"data": {"b": "Query"}}
    for name in (None, "", "C", "\ud800"):
        assert refused(shared_client, query, operationName=name) == ["GRAPHQL_VALIDATION_FAILED"]


def test_a_repeated_document_is_prepared_once():
    assert prepare(schema, BOOKS, may_introspect=True) is prepare(
        schema, BOOKS, may_introspect=True
    )


def test_the_schema_can_be_printed(app):
    printed = app.test_cli_runner().invoke(args=["graphql-schema"])
    assert printed.exit_code == 0
    assert "reviewAdded(bookId: ID, after: String): ReviewEvent!" in printed.stdout
