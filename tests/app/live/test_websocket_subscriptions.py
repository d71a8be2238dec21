"""Subscriptions over graphql-transport-ws: which events arrive, and in which order."""

import json

import pytest
from websockets.exceptions import ConnectionClosed

from tests.app.live.documents import ADD, FOLLOW

pytestmark = pytest.mark.usefixtures("no_error_in_the_log")


def test_a_review_reaches_subscribers_of_its_book_and_of_all_books(live, websocket, book, review):
    one, other = book(live), book(live)
    of_one, of_all = websocket(live).init().subscribe(book=one), websocket(live).init().subscribe()
    review(live, other, "not for everybody")
    identity = review(live, one, "for both")
    event = of_one.event()
    assert event["review"]["id"] == str(identity)
    assert event["review"]["bookId"] == one
    assert (event["review"]["rating"], event["review"]["reviewer"]) == (4, "Ana")
    assert event["review"]["createdAt"].endswith("Z")
    assert of_all.texts(2) == ["not for everybody", "for both"]
    assert of_one.is_quiet()


def test_an_event_has_the_same_review_as_rest(live, websocket, book, review):
    one = book(live)
    client = websocket(live).init().subscribe(book=one)
    review(live, one, 'Zoë: "1 < 2" \u2028 \U0001f600\nnext client')
    review_ = client.event()["review"]
    listed = json.loads(live.request("GET", f"/books/{one}/reviews")[2])["items"][0]
    assert review_ == {
        "id": str(listed["id"]),
        "bookId": one,
        "rating": listed["rating"],
        "reviewer": listed["reviewer"],
        "text": listed["text"],
        "createdAt": listed["created_at"],
    }


def test_a_subscription_without_a_cursor_starts_with_new_events(live, websocket, book, review):
    one = book(live)
    review(live, one, "before")
    client = websocket(live).init()
    client.start(FOLLOW, book=one)
    # The subscription has started when the first event arrives: post until then.
    sent = []
    while not sent or client.received_nothing():
        sent.append(f"number {len(sent)}")
        review(live, one, sent[-1])
    first = client.event()["review"]["text"]
    rest = sent[sent.index(first) + 1 :]
    assert client.texts(len(rest)) == rest


def test_events_arrive_however_a_review_is_written(live, websocket, book, review):
    one = book(live)
    follower, writer = websocket(live).init().subscribe(book=one), websocket(live).init()
    review(live, one, "by REST")
    assert writer.execute(ADD, book=one, text="on the client")["data"]["addReview"]["text"]
    request = {"query": ADD, "variables": {"book": one, "text": "by POST"}}
    assert live.request("POST", "/graphql", json.dumps(request).encode())[0] == 200
    assert follower.texts(3) == ["by REST", "on the client", "by POST"]


def test_a_client_gets_the_event_of_its_own_mutation(live, websocket, book):
    one = book(live)
    client = websocket(live).init().subscribe(book=one)
    client.start(ADD, "write", book=one, text="mine")
    came = [client.next() for _ in range(3)]
    kinds = sorted((message["id"], message["type"]) for message in came)
    assert kinds == [("1", "next"), ("write", "complete"), ("write", "next")]


def test_two_subscriptions_share_a_connection_and_one_can_end(live, websocket, book, review):
    one, other = book(live), book(live)
    client = websocket(live).init().subscribe("a", book=one).subscribe("b", book=other)
    review(live, one, "first")
    assert client.texts(1, "a") == ["first"]
    client.send(id="a", type="complete")
    assert client.is_quiet()
    review(live, one, "nobody listens")
    review(live, other, "second")
    assert client.texts(1, "b") == ["second"]
    client.subscribe("a", book=one)  # its id is free again
    review(live, one, "third")
    assert client.texts(1, "a") == ["third"]
    assert client.is_quiet()


def test_completing_an_unknown_operation_is_ignored(live, websocket):
    client = websocket(live).init()
    client.send(id="unknown", type="complete")
    assert client.is_quiet()


def test_many_subscribers_see_all_in_one_order(live, websocket, book, review):
    one = book(live)
    clients = [websocket(live).init().subscribe(book=one) for _ in range(12)]
    while len({client.worker for client in clients}) < 2:  # the kernel chooses
        clients.append(websocket(live).init().subscribe(book=one))
    sent = [f"number {number}" for number in range(30)]
    for text in sent:
        review(live, one, text)
    assert [client.texts(30) for client in clients] == [sent] * len(clients)


def test_connection_resets_log_no_error(live, websocket, book, review):
    one = book(live)
    clients = [websocket(live).init().subscribe("a", book=one).subscribe("b") for _ in range(10)]
    for client in clients:
        client.reset()
        review(live, one)


def test_a_message_can_hold_the_longest_review_but_not_more(live, websocket, book):
    one = book(live)
    client = websocket(live).init().subscribe(book=one)
    text = "\U0001f600" * 10_000
    assert (
        client.connection.send(
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
    came = {message["id"]: message for message in (client.next(), client.next())}
    assert "1" in came or client.next()["id"] == "1"
    client.send(type="ping", payload={"long": "x" * 140_000})
    assert client.wait_closed()[0] == 1009


def test_a_close_frame_gets_one_with_the_same_code(live, websocket, book):
    client = websocket(live).init().subscribe(book=book(live))
    client.connection.close(1000, "done")
    with pytest.raises(ConnectionClosed):
        client.next()
    assert client.connection.close_code == 1000
