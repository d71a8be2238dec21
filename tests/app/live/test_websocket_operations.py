"""Operations over graphql-transport-ws: results, and errors with a code."""

import json

import pytest

from tests.app.live.documents import FOLLOW

NAME = "{ __typename }"
BOOK = "{ book(id: $x) { id } }"
FOLLOWED = "{ reviewAdded(bookId: $x) { cursor } }"
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


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ('{"x": "\\ud83d"}', "NOT_FOUND"),
        ('{"x": "a\\udc00b"}', "NOT_FOUND"),
        ('{"x": 99999999999999999999}', "NOT_FOUND"),
        ('{"x": "99999999999999999999"}', "NOT_FOUND"),
        ('{"x": ["\\ud83d"]}', "BAD_USER_INPUT"),
        ('{"x": {"\\ud83d": 1}}', "BAD_USER_INPUT"),
        ('{"x": 1, "x": 2}', "BAD_REQUEST"),
        ('{"x": {"a": 1, "a": 2}}', "BAD_REQUEST"),
        ('{"x": NaN}', "BAD_REQUEST"),
        ('{"x": Infinity}', "BAD_REQUEST"),
        ('{"x": 1e999}', "BAD_REQUEST"),
        ('{"x": ' + "9" * 5_000 + "}", "BAD_REQUEST"),
        ('{"x": ' + "[" * 5_000 + '"]}\\"' + '"' + "]" * 5_000 + "}", "BAD_REQUEST"),
        ('{"x":' * 5_000 + "1" + "}" * 5_000, "BAD_REQUEST"),
        ("5", "BAD_REQUEST"),
    ],
    ids=lambda value: value[:30],
)
@pytest.mark.parametrize("query", [f"subscription($x: ID) {FOLLOWED}", f"query($x: ID!) {BOOK}"])
def test_an_invalid_variable_is_an_error_of_its_operation_alone(
    live, websocket, query, variables, code
):
    client = websocket(live).init()
    payload = f'{{"query": {json.dumps(query)}, "variables": {variables}}}'
    client.send_raw(f'{{"id": "1", "type": "subscribe", "payload": {payload}}}')
    message = client.next()
    assert message["id"] == "1"
    payload = message["payload"]
    error = payload[0] if message["type"] == "error" else payload["errors"][0]
    assert error["extensions"]["code"] == code
    assert message["type"] == "error" or code == "NOT_FOUND"
    if message["type"] == "next":
        assert client.next()["type"] == "complete"
    client.start(NAME, "1")  # the connection stays open, and the id is free
    assert client.next()["payload"]["data"] == {"__typename": "Query"}


@pytest.mark.parametrize(
    "payload",
    [
        '{"query": "{ \\ud83d }"}',
        '{"query": "{ __typename }", "operationName": "\\ud83d"}',
        '{"query": "{ __typename }", "query": "{ __typename }"}',
        '{"query": "{ __typename }", "extensions": []}',
        '{"query": "{ __typename }", "extensions": {"a": NaN}}',
    ],
)
def test_an_invalid_member_of_the_payload_is_an_error_of_its_operation_alone(
    live, websocket, payload
):
    client = websocket(live).init()
    client.send_raw(f'{{"id": "1", "type": "subscribe", "payload": {payload}}}')
    assert client.error()["message"]
    assert client.is_quiet()


@pytest.mark.parametrize(
    "message",
    [
        '{"id": "\\ud83d", "type": "subscribe", "payload": {"query": "{ __typename }"}}',
        '{"id": "\\ud83d", "type": "complete"}',
        '{"id": "1", "id": "2", "type": "subscribe", "payload": {"query": "{ __typename }"}}',
        '{"id": 1e999, "type": "subscribe", "payload": {"query": "{ __typename }"}}',
        '{"id": NaN, "type": "subscribe", "payload": {"query": NaN}}',
        '{"type": "subscribe", "payload": {"query": NaN}}',
        '{"type": "subscribe", "id": "1", "payload": NaN}{}',
        '{"type": "ping", "payload": {"a": 1, "a": 2}}',
        '{"type": "ping", "payload": ' + "[" * 5_000 + "]" * 5_000 + "}",
        '{"id": "1", "type": "subscribe", "payload": ' + "[" * 5_000,
        '{"id": ' + "[" * 5_000 + "]" * 5_000 + ', "type": "subscribe", "payload": {"query": 1}}',
        '\ufeff{"type": "ping"}',
    ],
    ids=lambda message: message[:40],
)
def test_a_message_that_is_wrong_outside_a_payload_closes_with_4400(live, websocket, message):
    client = websocket(live).init()
    client.send_raw(message)
    assert client.wait_closed()[0] == 4400


def test_half_a_character_in_connection_init_is_a_wrong_key(live, websocket):
    client = websocket(live)
    client.send_raw('{"type":"connection_init","payload":{"Authorization":"Bearer \\ud83d"}}')
    assert client.wait_closed() == (4403, "Forbidden")
