"""What one client does costs the others nothing."""

import contextlib
import re
import socket as sockets
import time

import pytest

from tests.waiting import PATIENCE, shortest, wait_until

UPLOAD = (
    b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: 100000\r\n\r\n{"
)
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
PINGS = (b"\x89\xfd" + bytes(4) + b"x" * 125) * 2_000
UPLOAD_SECONDS = 30
"""After this time an upload is cut: others must not wait for that."""
NO_SUCH_FIELD = "{ nothing }"


@pytest.fixture
def alone(serve_live, sqlite_database):
    """A factory of services with one worker and the given settings."""

    def start(**settings):
        return serve_live(DATABASE_URL=sqlite_database, WEB_CONCURRENCY="1", **settings)

    return start


@contextlib.contextmanager
def uploads(server, count):
    """Hold a number of requests open whose bodies never arrive."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = stack.enter_context(sockets.create_connection(("127.0.0.1", server.port)))
            one.sendall(UPLOAD)
        yield


def test_slow_uploads_do_not_block_other_requests(alone, websocket, book):
    server = alone()
    one = book(server)

    def request():
        with uploads(server, 40):
            began = time.monotonic()
            assert server.request("GET", f"/books/{one}")[0] == 200
            assert websocket(server).init().execute("{ __typename }") == {
                "data": {"__typename": "Query"}
            }
            return time.monotonic() - began

    assert shortest(request, UPLOAD_SECONDS / 2) < UPLOAD_SECONDS / 2


def test_connections_of_a_revoked_key_are_closed_despite_slow_uploads(alone, websocket, keys):
    server = alone(REQUIRE_API_KEY="true")

    def revoke():
        token = keys(server, "create", "shop").split()[-1]
        client = websocket(server).init(token)
        with uploads(server, 40):
            keys(server, "revoke", token)
            began = time.monotonic()
            assert client.wait_closed() == (4403, "Forbidden")
            return time.monotonic() - began

    assert shortest(revoke, UPLOAD_SECONDS / 2) < UPLOAD_SECONDS / 2


def test_rejected_operations_count_as_reads(alone, websocket):
    client = websocket(alone(RATE_LIMIT_READ="5/hour")).init()
    codes = []
    for number in range(7):
        client.start(f"{NO_SUCH_FIELD} #{number}")
        codes.append(client.error_code())
    assert codes == ["GRAPHQL_VALIDATION_FAILED"] * 5 + ["TOO_MANY_REQUESTS"] * 2


def test_subscriptions_to_new_topics_count_as_reads(alone, websocket):
    client = websocket(alone(RATE_LIMIT_READ="5/hour")).init()
    codes = []
    for number in range(900, 910):
        client.start("subscription($b: ID) { reviewAdded(bookId: $b) { cursor } }", b=str(number))
        codes.append(client.error_code())
    assert codes[0] == "NOT_FOUND"
    assert codes[-1] == "TOO_MANY_REQUESTS"


def test_further_subscriptions_to_a_topic_are_not_counted(alone, websocket, book, review):
    server = alone(RATE_LIMIT_READ="8/hour")
    one = book(server)
    query = "subscription($b: ID) { reviewAdded(bookId: $b) { review { text } } }"
    clients = [websocket(server).init() for _ in range(20)]
    clients[0].start(query, b=one)
    # Until it has begun, each of the others would count as a read too.
    wait_until(
        lambda: b"\nbookstall_live_subscriptions 1.0" in server.request("GET", "/metrics")[2]
    )
    for client in clients[1:]:
        client.start(query, b=one)
        assert client.is_quiet()
    review(server, one, "news")
    assert {text for client in clients for text in client.texts(1)} == {"news"}


def test_invalid_variables_are_an_error_message(live, websocket):
    client = websocket(live).init()
    client.start("query($first: Int!) { books(first: $first) { nodes { id } } }", first="many")
    assert client.error_code() == "BAD_USER_INPUT"


def send_many(wire):
    for _ in range(1_000):
        wire.sendall(PINGS)
        time.sleep(0.01)  # the server reads more slowly than we send


def test_a_client_that_pings_and_does_not_read_is_aborted_before_it_fills_the_memory(
    live_on_sqlite, until
):
    with sockets.create_connection(("127.0.0.1", live_on_sqlite.port), timeout=PATIENCE) as wire:
        wire.sendall(HANDSHAKE)
        assert b" 101 " in wire.recv(1_000)
        with pytest.raises(ConnectionError):
            send_many(wire)
    until(lambda: "slow reader" in live_on_sqlite.log.read_text())


def test_the_metric_of_closed_connections_has_few_labels(alone, websocket):
    server = alone(RATE_LIMIT_READ="2/hour")
    for _ in range(4):
        client = websocket(server)
        client.send(type="connection_init", payload={"Authorization": "Bearer nobody's"})
        assert client.wait_closed()[0] in {4403, 1013}
    metrics = server.request("GET", "/metrics")[2].decode()
    reasons = set(re.findall(r'closed_total\{kind="websocket",reason="([^"]*)"', metrics))
    assert reasons
    assert reasons <= {"4403", "1013", "disconnected", "closed"}


@pytest.mark.parametrize(
    ("method", "named", "status"),
    [
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {"Content-Type": "application/json", "Accept": "text/html"}, 406),
        ("GET", {"Accept": "image/png"}, 406),
        ("GET", {}, 400),
    ],
)
def test_a_stream_checks_headers_like_every_route(live_on_sqlite, stream, method, named, status):
    response = stream(
        live_on_sqlite, path="/graphql/stream?", method=method, headers=named, body=b"{}"
    )
    assert response.status == status
    assert response.header("Content-Type") == "application/problem+json"
    assert response.header("Cache-Control") == "no-store"
