"""graphql-transport-ws on /graphql, as a client sees it, on a real service of two workers."""

import json
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

ADD = """
mutation($book: ID!, $text: String!) {
    addReview(bookId: $book, rating: 5, reviewer: "Bea", text: $text) { id text }
}
"""
FOLLOW = "subscription($book: ID) { reviewAdded(bookId: $book) { cursor review { text } } }"


@pytest.fixture(autouse=True)
def no_fault_of_ours(live) -> Iterator[None]:
    """Whatever clients do, nothing of it is an error in the log."""
    before = len(live.log.read_text())
    yield
    said = live.log.read_text()[before:]
    assert "Traceback" not in said, said


def test_a_review_reaches_subscribers_of_its_book_and_of_all_books(live, socket, book, review):
    one, other = book(live), book(live)
    of_one, of_all = socket(live).init().follow(book=one), socket(live).init().follow()
    review(live, other, "not for everybody")
    identity = review(live, one, "for both")
    event = of_one.event()
    assert event["review"]["id"] == str(identity)
    assert event["review"]["bookId"] == one
    assert (event["review"]["rating"], event["review"]["reviewer"]) == (4, "Ana")
    assert event["review"]["createdAt"].endswith("Z")
    assert of_all.texts(2) == ["not for everybody", "for both"]
    assert of_one.is_quiet()


def test_what_is_told_is_what_rest_tells(live, socket, book, review):
    one = book(live)
    line = socket(live).init().follow(book=one)
    review(live, one, 'Zoë: "1 < 2" \u2028 \U0001f600\nnext line')
    told = line.event()["review"]
    listed = json.loads(live.request("GET", f"/books/{one}/reviews")[2])["items"][0]
    assert told == {
        "id": str(listed["id"]),
        "bookId": one,
        "rating": listed["rating"],
        "reviewer": listed["reviewer"],
        "text": listed["text"],
        "createdAt": listed["created_at"],
    }


def test_a_subscription_without_a_cursor_begins_with_what_comes(live, socket, book, review):
    one = book(live)
    review(live, one, "before")
    line = socket(live).init()
    line.ask(FOLLOW, book=one)
    # It has begun when the first one comes: until then they are posted again and again.
    sent = []
    while not sent or line.is_waiting():
        sent.append(f"number {len(sent)}")
        review(live, one, sent[-1])
    first = line.event()["review"]["text"]
    rest = sent[sent.index(first) + 1 :]
    assert line.texts(len(rest)) == rest


def test_events_come_however_a_review_is_written(live, socket, book, review):
    one = book(live)
    follower, writer = socket(live).init().follow(book=one), socket(live).init()
    review(live, one, "by REST")
    assert writer.answer(ADD, book=one, text="on the line")["data"]["addReview"]["text"]
    asked = {"query": ADD, "variables": {"book": one, "text": "by POST"}}
    assert live.request("POST", "/graphql", json.dumps(asked).encode())[0] == 200
    assert follower.texts(3) == ["by REST", "on the line", "by POST"]


def test_who_writes_on_a_line_sees_it_on_that_line(live, socket, book):
    one = book(live)
    line = socket(live).init().follow(book=one)
    line.ask(ADD, "write", book=one, text="mine")
    came = [line.next() for _ in range(3)]
    kinds = sorted((message["id"], message["type"]) for message in came)
    assert kinds == [("1", "next"), ("write", "complete"), ("write", "next")]


def test_two_subscriptions_share_a_line_and_one_may_end(live, socket, book, review):
    one, other = book(live), book(live)
    line = socket(live).init().follow("a", book=one).follow("b", book=other)
    review(live, one, "first")
    assert line.texts(1, "a") == ["first"]
    line.send(id="a", type="complete")
    assert line.is_quiet()
    review(live, one, "nobody listens")
    review(live, other, "second")
    assert line.texts(1, "b") == ["second"]
    line.follow("a", book=one)  # its id is free again
    review(live, one, "third")
    assert line.texts(1, "a") == ["third"]
    assert line.is_quiet()


def test_completing_what_nobody_asked_for_is_no_fault(live, socket):
    line = socket(live).init()
    line.send(id="unknown", type="complete")
    assert line.is_quiet()


def test_many_subscribers_see_all_in_one_order(live, socket, book, review):
    one = book(live)
    lines = [socket(live).init().follow(book=one) for _ in range(12)]
    assert len({line.worker for line in lines}) == 2
    sent = [f"number {number}" for number in range(30)]
    for text in sent:
        review(live, one, text)
    assert [line.texts(30) for line in lines] == [sent] * 12


def test_a_ping_is_answered_before_anything_else_too(live, socket):
    line = socket(live)
    line.send(type="ping")
    assert line.next() == {"type": "pong"}
    line.send(type="ping", payload={"any": "thing"})
    assert line.next()["type"] == "pong"
    line.send(type="pong")
    assert line.init().is_quiet()


def test_a_query_is_answered_once_on_the_line(live, socket, book):
    one = book(live)
    line = socket(live).init()
    found = line.answer("query($book: ID!) { book(id: $book) { id title } }", book=one)
    assert found == {"data": {"book": {"id": one, "title": "Emma"}}}


def test_an_error_of_a_field_comes_with_its_data(live, socket):
    found = socket(live).init().answer('{ book(id: "999999") { title } }')
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
def test_what_cannot_be_followed_is_an_error_with_a_code(live, socket, query, code):
    line = socket(live).init()
    line.ask(query)
    assert line.code() == (code or "GRAPHQL_VALIDATION_FAILED")
    line.ask("{ __typename }", "1")  # the line goes on, and the id is free
    assert line.next()["payload"]["data"] == {"__typename": "Query"}


def test_a_cursor_of_the_future_is_refused(live, socket):
    log, _, position = live.cursor().partition("-")
    line = socket(live).init()
    line.ask(FOLLOW.replace("bookId: $book", f'bookId: $book, after: "{log}-{int(position) + 1}"'))
    assert line.code() == "WINDOW_PASSED"


def test_the_operation_is_chosen_by_its_name(live, socket):
    both = (
        "subscription All { reviewAdded { review { text } } }"
        "subscription Of($book: ID) { reviewAdded(bookId: $book) { review { text } } }"
        "query Name { __typename }"
    )
    line = socket(live).init()
    payload = {"query": both, "operationName": "Name"}
    line.send(id="n", type="subscribe", payload=payload)
    assert line.next()["payload"] == {"data": {"__typename": "Query"}}
    assert line.next() == {"id": "n", "type": "complete"}
    line.send(id="o", type="subscribe", payload={**payload, "operationName": "Nobody"})
    assert line.code("o") == "GRAPHQL_VALIDATION_FAILED"


def test_what_only_may_be_null_is_taken_as_if_it_were_not_there(live, socket):
    line = socket(live)
    line.send(type="connection_init", payload=None)
    assert line.next() == {"type": "connection_ack"}
    nothing = {"variables": None, "operationName": None, "extensions": None}
    line.send(id="1", type="subscribe", payload={"query": "{ __typename }", **nothing})
    assert line.next()["payload"] == {"data": {"__typename": "Query"}}


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
def test_members_of_the_wrong_kind_are_a_bad_request(live, socket, payload):
    line = socket(live).init()
    line.send(id="1", type="subscribe", payload=payload)
    assert line.code() == "BAD_REQUEST"
    assert line.is_quiet()


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "",
        "{",
        "[]",
        "5",
        "null",
        '"text"',
        "[" * 5_000,
        '{"type": "\\ud800"}',
        "{}",
        '{"type": 5}',
        '{"type": null}',
        '{"type": "nonsense"}',
        json.dumps({"type": "é" * 200}),
        '{"type": "connection_init", "payload": 5}',
        '{"type": "connection_init", "payload": []}',
        '{"type": "subscribe"}',
        '{"type": "subscribe", "id": "1"}',
        '{"type": "subscribe", "id": "1", "payload": 5}',
        '{"type": "subscribe", "id": "1", "payload": {}}',
        '{"type": "subscribe", "id": [], "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": {}, "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": 5, "payload": {"query": "{ __typename }"}}',
        '{"type": "subscribe", "id": "", "payload": {"query": "{ __typename }"}}',
        '{"type": "complete"}',
        '{"type": "complete", "id": []}',
        b"{}",
        b"\x00\xff",
    ],
    ids=lambda message: ascii(message)[:60],
)
def test_what_is_no_message_ends_the_line_with_4400(live, socket, message):
    line = socket(live)
    if "connection_init" not in str(message):
        line.init()
    line.send_raw(message)
    assert line.end()[0] == 4400


def test_a_line_that_ends_with_4400_ends_its_subscriptions_without_a_fault(
    live, socket, book, review, until
):
    one = book(live)
    lines = [socket(live).init().follow("a", book=one).follow("b") for _ in range(5)]
    for line in lines:
        line.send_raw("no JSON")
        review(live, one)
        review(live, one)
    assert {line.end()[0] for line in lines} == {4400}


def test_clients_that_vanish_leave_no_fault(live, socket, book, review):
    one = book(live)
    lines = [socket(live).init().follow("a", book=one).follow("b") for _ in range(10)]
    for line in lines:
        line.vanish()
        review(live, one)


def test_a_second_init_ends_the_line_with_4429(live, socket):
    line = socket(live).init()
    line.send(type="connection_init")
    assert line.end() == (4429, "Too many initialisation requests")


def test_asking_before_the_init_ends_the_line_with_4401(live, socket):
    line = socket(live)
    line.ask("{ __typename }")
    assert line.end() == (4401, "Unauthorized")


def test_an_id_that_is_in_use_ends_the_line_with_4409(live, socket, book):
    line = socket(live).init().follow(book=book(live))
    line.ask(FOLLOW)
    assert line.end() == (4409, "Subscriber for 1 already exists")


def test_a_long_id_that_is_in_use_ends_the_line_with_4409_too(live, socket):
    line = socket(live).init().follow("é" * 500)
    line.ask(FOLLOW, "é" * 500)
    assert line.end()[0] == 4409


@pytest.mark.parametrize("offered", [None, ["graphql-ws"], ["graphql-sse", "chat"]])
def test_another_subprotocol_is_refused_with_4406(live, socket, offered):
    assert socket(live, subprotocols=offered).end() == (4406, "Subprotocol not acceptable")


def test_of_several_subprotocols_ours_is_chosen(live, socket):
    line = socket(live, subprotocols=["chat", "graphql-transport-ws", "graphql-ws"])
    assert line.connection.subprotocol == "graphql-transport-ws"
    assert line.init().is_quiet()


def test_a_message_may_be_as_long_as_the_longest_review_and_not_longer(live, socket, book):
    one = book(live)
    line = socket(live).init().follow(book=one)
    text = "\U0001f600" * 10_000
    assert (
        line.connection.send(
            json.dumps(
                {
                    "id": "w",
                    "type": "subscribe",
                    "payload": {"query": ADD, "variables": {"book": one, "text": text}},
                }
            )
        )
        is None
    )
    came = {message["id"]: message for message in (line.next(), line.next())}
    assert "1" in came or line.next()["id"] == "1"
    line.send(type="ping", payload={"long": "x" * 140_000})
    assert line.end()[0] == 1009


@pytest.mark.parametrize("path", ["/", "/graphql/stream", "/graphql/", "/books", "/nonsense"])
def test_there_is_no_socket_elsewhere(live, socket, path):
    with pytest.raises(InvalidStatus) as refused:
        socket(live, path=path)
    assert refused.value.response.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "nonsense", "http://[::1"]
)
def test_a_page_of_another_site_is_refused(live, socket, origin):
    with pytest.raises(InvalidStatus) as refused:
        socket(live, origin=origin)
    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


def test_a_page_of_our_own_site_is_let_in(live, socket):
    assert socket(live, origin=f"http://127.0.0.1:{live.port}").init().is_quiet()


def test_unknown_names_in_the_init_are_ignored(live, socket):
    line = socket(live)
    line.send(type="connection_init", payload={"authToken": "x", "nested": {"a": [1]}})
    assert line.next() == {"type": "connection_ack"}


@pytest.mark.parametrize("shown", ["Bearer wrong", "Basic abc", "", 5, {}, "Bearer \u00e9"])
def test_a_wrong_token_ends_the_line_with_4403(live, socket, shown):
    line = socket(live)
    line.send(type="connection_init", payload={"Authorization": shown})
    assert line.end() == (4403, "Forbidden")


def test_a_client_that_ends_in_good_order_gets_its_code_back(live, socket, book):
    line = socket(live).init().follow(book=book(live))
    line.connection.close(1000, "done")
    with pytest.raises(ConnectionClosed):
        line.next()
    assert line.connection.close_code == 1000
