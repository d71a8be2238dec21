"""What one client does costs the others nothing."""

import asyncio
import contextlib
import json
import re
import socket as sockets
import time

import pytest

from app.live.wsgi_bridge import MAX_BUFFERED_BYTES, BodyBuffer, FailedBody

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
NO_SUCH_FIELD = "{ nothing }"


@pytest.fixture
def alone(serve_live, sqlite_database):
    """A service with one worker, whose limits are told."""

    def start(**settings):
        return serve_live(DATABASE_URL=sqlite_database, WEB_CONCURRENCY="1", **settings)

    return start


@contextlib.contextmanager
def uploads(server, count):
    """Hold so many requests whose bodies do not come."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            one = stack.enter_context(sockets.create_connection(("127.0.0.1", server.port)))
            one.sendall(UPLOAD)
        yield


def test_slow_uploads_keep_nobody_from_being_served(alone, socket, book):
    server = alone()
    one = book(server)
    with uploads(server, 40):
        began = time.monotonic()
        assert server.request("GET", f"/books/{one}")[0] == 200
        assert socket(server).init().answer("{ __typename }") == {"data": {"__typename": "Query"}}
        assert time.monotonic() - began < 10


def test_a_revoked_key_ends_its_lines_beside_slow_uploads(alone, socket, keys):
    server = alone(REQUIRE_API_KEY="true")
    token = keys(server, "create", "shop").split()[-1]
    line = socket(server).init(token)
    with uploads(server, 40):
        keys(server, "revoke", token)
        assert line.end() == (4403, "Forbidden")


def test_operations_that_are_refused_count_as_reads_too(alone, socket):
    line = socket(alone(RATE_LIMIT_READ="5/hour")).init()
    codes = []
    for number in range(7):
        line.ask(f"{NO_SUCH_FIELD} #{number}")
        codes.append(line.code())
    assert codes == ["GRAPHQL_VALIDATION_FAILED"] * 5 + ["TOO_MANY_REQUESTS"] * 2


def test_subscriptions_to_what_nobody_follows_count_as_reads(alone, socket):
    line = socket(alone(RATE_LIMIT_READ="5/hour")).init()
    codes = []
    for number in range(900, 910):
        line.ask("subscription($b: ID) { reviewAdded(bookId: $b) { cursor } }", b=str(number))
        codes.append(line.code())
    assert codes[0] == "NOT_FOUND"
    assert codes[-1] == "TOO_MANY_REQUESTS"


def test_who_asks_for_what_is_followed_already_costs_nothing(alone, socket, book, review):
    server = alone(RATE_LIMIT_READ="8/hour")
    one = book(server)
    query = "subscription($b: ID) { reviewAdded(bookId: $b) { review { text } } }"
    lines = [socket(server).init() for _ in range(20)]
    for line in lines:
        line.ask(query, b=one)
        assert line.is_quiet()
    review(server, one, "news")
    assert {text for line in lines for text in line.texts(1)} == {"news"}


def test_variables_that_do_not_fit_are_an_error_as_the_protocol_has_it(live, socket):
    line = socket(live).init()
    line.ask("query($first: Int!) { books(first: $first) { nodes { id } } }", first="many")
    assert line.code() == "BAD_USER_INPUT"


def send_many(wire):
    for _ in range(1_000):
        wire.sendall(PINGS)
        time.sleep(0.01)  # the server takes them slower than we send them


def test_a_client_that_pings_and_does_not_read_is_dropped_before_it_fills_the_memory(
    live_on_sqlite, until
):
    with sockets.create_connection(("127.0.0.1", live_on_sqlite.port), timeout=20) as wire:
        wire.sendall(HANDSHAKE)
        assert b" 101 " in wire.recv(1_000)
        with pytest.raises(ConnectionError):
            send_many(wire)
    until(lambda: "does not read" in live_on_sqlite.log.read_text())


def test_the_figures_of_ends_have_few_labels(alone, socket):
    server = alone(RATE_LIMIT_READ="2/hour")
    for _ in range(4):
        line = socket(server)
        line.send(type="connection_init", payload={"Authorization": "Bearer nobody's"})
        assert line.end()[0] in {4403, 1013}
    told = server.request("GET", "/metrics")[2].decode()
    whys = set(re.findall(r'ends_total\{kind="socket",why="([^"]*)"', told))
    assert whys <= {"4403", "1013", "gone", "closed"}, whys


@pytest.mark.parametrize(
    ("method", "named", "status"),
    [
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {"Content-Type": "application/json", "Accept": "text/html"}, 406),
        ("GET", {"Accept": "image/png"}, 406),
        ("GET", {}, 400),
    ],
)
def test_a_stream_has_the_manners_of_every_route(live_on_sqlite, stream, method, named, status):
    answer = stream(
        live_on_sqlite, path="/graphql/stream?", method=method, headers=named, body=b"{}"
    )
    assert answer.status == status
    assert answer.header("Content-Type") == "application/problem+json"
    assert answer.header("Cache-Control") == "no-store"


class Sender:
    """Sends the chunks of a body, and then nothing, or that it has gone."""

    def __init__(self, *chunks, gone=False):
        self.left = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
        self.gone = gone

    async def __call__(self):
        if self.left:
            return self.left.pop(0)
        if self.gone:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}


def scope(**headers):
    named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    return {"type": "http", "headers": named}


def read(bodies, sender, **headers):
    async def story():
        async with bodies.read(scope(**headers), sender) as body:
            return body if isinstance(body, FailedBody) else body.read()

    return asyncio.run(story())


def test_a_body_is_read_whole_and_one_that_breaks_off_fails_who_reads_it():
    bodies = BodyBuffer(100)
    assert read(bodies, Sender(b"ab", b"c"), content_length="3") == b"abc"
    assert read(bodies, Sender(b"ab", b"c"), transfer_encoding="chunked") == b"abc"
    assert read(bodies, Sender()) == b""
    broken = read(bodies, Sender(b"ab", gone=True), transfer_encoding="chunked")
    with pytest.raises(OSError, match="gone"):
        broken.read()


def test_a_body_that_is_too_long_is_read_so_far_that_this_can_be_seen():
    sender = Sender(*[b"x" * 60] * 10)
    assert read(BodyBuffer(100), sender, transfer_encoding="chunked") == b"x" * 120
    assert read(BodyBuffer(100), sender, content_length="600") == b""


def test_bodies_that_fill_the_memory_are_refused_and_give_their_room_back(monkeypatch):
    bodies = BodyBuffer(MAX_BUFFERED_BYTES)
    monkeypatch.setattr("app.live.wsgi_bridge.MAX_BUFFERED_BYTES", 100)
    refused = read(bodies, Sender(b"x" * 60, b"x" * 60), content_length="120")
    assert isinstance(refused, FailedBody)
    assert read(bodies, Sender(b"x" * 99), content_length="99") == b"x" * 99
    assert json.dumps(bodies._held) == "0"
