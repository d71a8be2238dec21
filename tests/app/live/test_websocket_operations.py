"""Operations over graphql-transport-ws: results, and errors with a code."""

import json

import pytest

from tests.app.live.documents import FOLLOW

pytestmark = pytest.mark.usefixtures("no_error_in_the_log")


def test_a_query_gets_one_result(live, websocket, book):
    one = book(live)
    client = websocket(live).init()
    found = client.execute("query($book: ID!) { book(id: $book) { id title } }", book=one)
    assert found == {"data": {"book": {"id": one, "title": "Emma"}}}


def test_a_field_error_is_returned_with_the_data(live, websocket):
    found = websocket(live).init().execute('{ book(id: "999999") { title } }')
    assert found["data"] == {"book": None}
    assert found["errors"][0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { reviewAdded { nonsense } }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { reviewAdded { cursor }", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ nonsense }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription A { reviewAdded { cursor } } query B { __typename }", None),
        ('subscription { reviewAdded(bookId: "999999") { cursor } }', "NOT_FOUND"),
        ('subscription { reviewAdded(bookId: "x") { cursor } }', "NOT_FOUND"),
        ('subscription { reviewAdded(bookId: "99999999999999999999") { cursor } }', "NOT_FOUND"),
        ("subscription { reviewAdded(bookId: true) { cursor } }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { reviewAdded(after: "") { cursor } }', "BAD_REQUEST"),
        ('subscription { reviewAdded(after: "nonsense") { cursor } }', "BAD_REQUEST"),
        ('subscription { reviewAdded(after: "0123456789abcdef-01") { cursor } }', "BAD_REQUEST"),
        ('subscription { reviewAdded(after: "0123456789abcdef--1") { cursor } }', "BAD_REQUEST"),
        (
            f'subscription {{ reviewAdded(after: "0123456789abcdef-{9**20}") {{ cursor }} }}',
            "BAD_REQUEST",
        ),
        ('subscription { reviewAdded(after: "0123456789abcdef-1") { cursor } }', "WINDOW_PASSED"),
        ("subscription { a: reviewAdded { cursor } b: reviewAdded { cursor } }", None),
        ("subscription { __typename }", None),
        ("subscription($a: Int!) { reviewAdded { cursor } }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription($book: ID!) { reviewAdded(bookId: $book) { cursor } }", "BAD_USER_INPUT"),
    ],
)
def test_an_invalid_operation_gets_an_error_with_a_code(live, websocket, query, code):
    client = websocket(live).init()
    client.start(query)
    assert client.error_code() == (code or "GRAPHQL_VALIDATION_FAILED")
    client.start("{ __typename }", "1")  # the client goes on, and the id is free
    assert client.next()["payload"]["data"] == {"__typename": "Query"}


def test_a_cursor_beyond_the_head_is_rejected(live, websocket):
    log, _, position = live.cursor().partition("-")
    client = websocket(live).init()
    client.start(
        FOLLOW.replace("bookId: $book", f'bookId: $book, after: "{log}-{int(position) + 1}"')
    )
    assert client.error_code() == "WINDOW_PASSED"


def test_the_operation_is_chosen_by_its_name(live, websocket):
    both = (
        "subscription All { reviewAdded { review { text } } }"
        "subscription Of($book: ID) { reviewAdded(bookId: $book) { review { text } } }"
        "query Name { __typename }"
    )
    client = websocket(live).init()
    payload = {"query": both, "operationName": "Name"}
    client.send(id="n", type="subscribe", payload=payload)
    assert client.next()["payload"] == {"data": {"__typename": "Query"}}
    assert client.next() == {"id": "n", "type": "complete"}
    client.send(id="o", type="subscribe", payload={**payload, "operationName": "Nobody"})
    assert client.error_code("o") == "GRAPHQL_VALIDATION_FAILED"


def test_null_members_count_as_omitted(live, websocket):
    client = websocket(live)
    client.send(type="connection_init", payload=None)
    assert client.next() == {"type": "connection_ack"}
    nothing = {"variables": None, "operationName": None, "extensions": None}
    client.send(id="1", type="subscribe", payload={"query": "{ __typename }", **nothing})
    assert client.next()["payload"] == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    "payload",
    [
        {"query": 5},
        {"query": None},
        {"query": ["{ __typename }"]},
        {"query": "{ __typename }", "operationName": 5},
        {"query": "{ __typename }", "variables": [1]},
        {"query": "{ __typename }", "variables": "text"},
        {"query": FOLLOW, "variables": [1]},
        {"query": FOLLOW, "variables": "text"},
    ],
    ids=json.dumps,
)
def test_members_of_the_wrong_type_are_a_bad_request(live, websocket, payload):
    client = websocket(live).init()
    client.send(id="1", type="subscribe", payload=payload)
    assert client.error_code() == "BAD_REQUEST"
    assert client.is_quiet()
