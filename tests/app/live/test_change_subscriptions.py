"""The subscription ``changes``, over both protocols."""

import json

import pytest

from tests.app.live.test_change_streams import pages_after

CHANGES = """
subscription($types: [String!], $after: String) {
    changes(types: $types, after: $after) { cursor type at data }
}
"""


@pytest.fixture(params=["websocket", "stream"])
def subscribe(request, websocket, stream):
    """Subscribe, and return what gives the next result."""

    def start(server, query=CHANGES, **variables):
        if request.param == "stream":
            events = stream(server, query, **variables)
            return lambda: events.next()[1]
        client = websocket(server).init()
        client.start(query, **variables)

        def next_result():
            message = client.next()
            payload = message["payload"]
            return payload if message["type"] == "next" else {"errors": payload}

        return next_result

    return start


def test_changes_are_the_events_of_the_pages(live, subscribe, book, review):
    cursor = live.cursor()
    result = subscribe(live, after=cursor)
    one = book(live)
    review(live, one)
    live.insist("PATCH", f"/books/{one}", b'{"title": "Emma, corrected"}')
    events = [result()["data"]["changes"] for _ in range(3)]
    assert [event["type"] for event in events] == [
        "book.created",
        "review.created",
        "book.changed",
    ]
    assert events == pages_after(live, cursor)


def test_changes_of_chosen_types(live, subscribe, book, review):
    result = subscribe(live, after=live.cursor(), types=["review.created", "stock.changed"])
    one = review(live, book(live))
    assert result()["data"]["changes"]["data"]["id"] == one


def test_no_types_are_all_types(live, subscribe, book):
    result = subscribe(live, after=live.cursor(), types=[])
    book(live)
    assert result()["data"]["changes"]["type"] == "book.created"


def test_only_the_selected_fields_are_sent(live, subscribe, book):
    query = "subscription($after: String) { it: changes(after: $after) { type } }"
    result = subscribe(live, query, after=live.cursor())
    book(live)
    assert result() == {"data": {"it": {"type": "book.created"}}}


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"types": ["book.created", "book"]}, "BAD_USER_INPUT"),
        ({"after": "nonsense"}, "BAD_REQUEST"),
        ({"after": "0123456789abcdef-1"}, "WINDOW_PASSED"),
    ],
)
def test_invalid_arguments_end_the_subscription(live, subscribe, variables, code):
    (error,) = subscribe(live, **variables)()["errors"]
    assert error["extensions"]["code"] == code
    if code == "BAD_USER_INPUT":
        assert [each["pointer"] for each in error["extensions"]["errors"]] == ["/types/1"]


def test_a_review_that_is_hidden_leaves_only_its_ids_in_later_changes(
    live, subscribe, book, review
):
    result = subscribe(live, after=live.cursor(), types=["review.hidden", "review.shown"])
    one = book(live)
    number = review(live, one)
    for hidden in (True, False):
        body = json.dumps({"hidden": hidden}).encode()
        assert live.insist("PATCH", f"/reviews/{number}", body)[0] == 200
    data = result()["data"]["changes"]["data"]
    assert data == {"id": number, "book_id": int(one)}
    assert result()["data"]["changes"]["data"]["text"]
