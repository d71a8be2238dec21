"""The log records of WebSockets and event streams: who called, what was sent, what was refused."""

import contextlib

import pytest
from websockets.exceptions import InvalidStatus

STREAM = "/graphql/stream?query={__typename}"


@pytest.fixture
def records(live_on_sqlite, until):
    """Return the records of connections with a request id, once there are so many."""

    def read(request_id, count):
        def found():
            of_it = [r for r in live_on_sqlite.records() if r.get("request_id") == request_id]
            return of_it if len(of_it) == count else None

        return until(found)

    return read


def test_a_stream_logs_its_beginning_and_its_end(live_on_sqlite, records):
    body = live_on_sqlite.request("GET", STREAM, X_Request_ID="log-1", Accept="text/*")[2]
    opened, closed = records("log-1", 2)
    assert (opened["message"], closed["message"]) == ("stream opened", "stream closed: closed")
    for record in (opened, closed):
        assert (record["client"], record["method"]) == ("127.0.0.1", "GET")
        assert record["route"] == "/graphql/stream"
    assert (closed["status"], closed["bytes"]) == (200, len(body))
    assert closed["ms"] > 0


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"Authorization": "Bearer wrong"}, 401),
        ("GET", {"Origin": "https://evil.example"}, 403),
        ("HEAD", {}, 405),
        ("GET", {"Accept": "image/png"}, 406),
        ("POST", {}, 415),
    ],
)
def test_a_refused_stream_logs_its_status(live_on_sqlite, records, method, headers, status):
    request_id = f"log-{status}"
    response = live_on_sqlite.request(method, STREAM, X_Request_ID=request_id, **headers)
    assert response[0] == status
    _, closed = records(request_id, 2)
    assert (closed["message"], closed["status"]) == ("stream closed: rejected", status)
    assert (closed["client"], closed["bytes"]) == ("127.0.0.1", len(response[2]))
    assert "key" not in closed


def test_a_websocket_logs_its_bytes(live_on_sqlite, websocket, records):
    client = websocket(live_on_sqlite, headers={"X-Request-ID": "log-socket"}).init()
    assert client.is_quiet()
    client.connection.close(1000)
    opened, closed = records("log-socket", 2)
    assert opened["message"] == "websocket opened"
    assert closed["message"].startswith("websocket closed: ")
    assert closed["bytes"] == len('{"type":"connection_ack"}') + len('{"type":"pong"}')


@pytest.mark.parametrize(
    ("how", "messages"),
    [
        ({"path": "/nonsense%0a"}, ["websocket refused"]),
        ({"origin": "https://evil.example"}, ["websocket opened", "websocket closed: 1008"]),
    ],
)
def test_a_refused_handshake_is_logged(live_on_sqlite, websocket, records, how, messages):
    request_id = f"log-refused-{len(messages)}"
    with pytest.raises(InvalidStatus):
        websocket(live_on_sqlite, headers={"X-Request-ID": request_id}, **how)
    found = records(request_id, len(messages))
    assert [record["message"] for record in found] == messages
    assert {record["client"] for record in found} == {"127.0.0.1"}


def test_each_line_of_the_log_is_json(live_on_sqlite, websocket, records):
    with contextlib.suppress(InvalidStatus):
        headers = {"X-Request-ID": "log-json"}
        websocket(live_on_sqlite, path="/%0a%7b%7d%1b%ed%a0%80", headers=headers)
    assert live_on_sqlite.request("HEAD", STREAM, X_Request_ID="log-json")[0] == 405
    assert records("log-json", 3)
    assert all(isinstance(record, dict) for record in live_on_sqlite.records())
