"""Messages and close codes of graphql-transport-ws, subprotocols and origins."""

import json
from http import HTTPStatus

import pytest
from websockets.exceptions import InvalidStatus

from tests.app.live.documents import FOLLOW
from tests.app.server.attackers import connect

pytestmark = pytest.mark.usefixtures("no_error_in_the_log")


def test_a_ping_gets_a_pong_even_before_connection_init(live, websocket):
    client = websocket(live)
    client.send(type="ping")
    assert client.next() == {"type": "pong"}
    client.send(type="ping", payload={"any": "thing"})
    assert client.next()["type"] == "pong"
    client.send(type="pong")
    assert client.init().is_quiet()


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
        json.dumps(
            {"type": "subscribe", "id": "x" * 1_025, "payload": {"query": "{ __typename }"}}
        ),
        json.dumps({"type": "complete", "id": "é" * 513}),
        '{"type": "complete"}',
        '{"type": "complete", "id": []}',
        b"{}",
        b"\x00\xff",
    ],
    ids=lambda message: ascii(message)[:60],
)
def test_a_malformed_message_closes_with_4400(live, websocket, message):
    client = websocket(live)
    if "connection_init" not in str(message):
        client.init()
    client.send_raw(message)
    assert client.wait_closed()[0] == 4400


def test_the_longest_id_is_returned_with_each_result(live, websocket):
    longest = "x" * 1_022 + "é"
    result = websocket(live).init().execute("{ __typename }", longest)
    assert result["data"] == {"__typename": "Query"}


def test_refused_handshakes_cause_no_warning_each(live, websocket):
    before = live.log.read_text().count('"level":"warning"')
    for _ in range(50):
        with pytest.raises(InvalidStatus):
            websocket(live, origin="https://elsewhere.example")
        with pytest.raises(InvalidStatus):
            websocket(live, path="/nowhere")
    assert live.request("GET", "/healthz")[0] == 200
    assert live.log.read_text().count('"level":"warning"') - before < 10


def test_subprotocols_may_be_offered_in_several_lines(live):
    head = (
        b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        b"Sec-WebSocket-Protocol: nonsense\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    )
    with connect(live, head) as client:
        received = client.recv(4_096)
    assert received.startswith(b"HTTP/1.1 101 ")
    assert b"\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n" in received


def test_closing_with_4400_ends_subscriptions_without_errors_in_the_log(
    live, websocket, book, review, until
):
    one = book(live)
    clients = [websocket(live).init().subscribe("a", book=one).subscribe("b") for _ in range(5)]
    for client in clients:
        client.send_raw("no JSON")
        review(live, one)
        review(live, one)
    assert {client.wait_closed()[0] for client in clients} == {4400}


def test_a_second_connection_init_closes_with_4429(live, websocket):
    client = websocket(live).init()
    client.send(type="connection_init")
    assert client.wait_closed() == (4429, "Too many initialisation requests")


def test_an_operation_before_connection_init_closes_with_4401(live, websocket):
    client = websocket(live)
    client.start("{ __typename }")
    assert client.wait_closed() == (4401, "Unauthorized")


def test_an_id_in_use_closes_with_4409(live, websocket, book):
    client = websocket(live).init().subscribe(book=book(live))
    client.start(FOLLOW)
    assert client.wait_closed() == (4409, "Subscriber for 1 already exists")


def test_a_long_id_in_use_closes_with_4409(live, websocket):
    client = websocket(live).init().subscribe("é" * 500)
    client.start(FOLLOW, "é" * 500)
    assert client.wait_closed()[0] == 4409


@pytest.mark.parametrize("offered", [None, ["graphql-ws"], ["graphql-sse", "chat"]])
def test_another_subprotocol_closes_with_4406(live, websocket, offered):
    assert websocket(live, subprotocols=offered).wait_closed() == (
        4406,
        "Subprotocol not acceptable",
    )


def test_our_subprotocol_is_selected_among_several(live, websocket):
    client = websocket(live, subprotocols=["chat", "graphql-transport-ws", "graphql-ws"])
    assert client.connection.subprotocol == "graphql-transport-ws"
    assert client.init().is_quiet()


@pytest.mark.parametrize("path", ["/", "/graphql/stream", "/graphql/", "/books", "/nonsense"])
def test_other_paths_have_no_websocket(live, websocket, path):
    with pytest.raises(InvalidStatus) as refused:
        websocket(live, path=path)
    assert refused.value.response.status_code in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1", "nonsense", "http://[::1"]
)
def test_another_origin_is_rejected(live, websocket, origin):
    with pytest.raises(InvalidStatus) as refused:
        websocket(live, origin=origin)
    assert refused.value.response.status_code == HTTPStatus.FORBIDDEN


def test_the_own_origin_is_accepted(live, websocket):
    assert websocket(live, origin=f"http://127.0.0.1:{live.port}").init().is_quiet()


def test_unknown_names_in_connection_init_are_ignored(live, websocket):
    client = websocket(live)
    client.send(type="connection_init", payload={"authToken": "x", "nested": {"a": [1]}})
    assert client.next() == {"type": "connection_ack"}


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Basic abc", "", 5, {}, "Bearer \u00e9"])
def test_an_invalid_token_closes_with_4403(live, websocket, authorization):
    client = websocket(live)
    client.send(type="connection_init", payload={"Authorization": authorization})
    assert client.wait_closed() == (4403, "Forbidden")
