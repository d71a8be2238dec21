"""Timeouts: clients that send nothing, do not read or stay until the shutdown, all at once."""

import contextlib
import json
import socket as sockets
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import InvalidHandshake

from app.live.connection import WRITE_TIMEOUT_SECONDS
from tests.waiting import PATIENCE, wait_until

LONG = "\U0001f600" * 10_000
"""40,000 bytes."""
MANY = 40
"""More such reviews than all buffers between the server and a client can hold."""


def slow_reader(server):
    """Connect a client with a small receive buffer, which never reads."""
    connection = sockets.socket()
    connection.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", server.port))
    return connection


@pytest.fixture
def ending(serve_live, sqlite_database):
    """A service that the test shuts down."""
    return serve_live(DATABASE_URL=sqlite_database)


def test_slow_and_silent_clients_are_closed_and_others_served_promptly(
    live_on_stack, websocket, stream, book, review
):
    server, began = live_on_stack, time.monotonic()
    before = server.log.read_text().count("slow reader")
    one = book(server)
    quiet = stream(server, book=book(server))
    unread = {"max_queue": 1}  # then the client stops to read
    slow = [
        websocket(server, sock=slow_reader(server), **unread).init().subscribe(book=one)
        for _ in range(2)
    ]
    query = "subscription { reviewAdded { review { text } } }"
    body = json.dumps({"query": query}).encode()
    slow_stream = slow_reader(server)
    head = b"POST /graphql/stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    accept = b"Accept: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(body)
    slow_stream.sendall(head + accept + body)
    assert slow_stream.recv(12) == b"HTTP/1.1 200"
    silent, idle = websocket(server), slow_reader(server)
    quick = websocket(server).init().subscribe(book=one)
    for _ in range(MANY):
        review(server, one, LONG)
        assert quick.event()["review"]["text"] == LONG

    with ThreadPoolExecutor(1) as pool:
        end = pool.submit(silent.wait_closed)
        wait_until(lambda: server.log.read_text().count("slow reader") >= before + 3)
        assert time.monotonic() > began + WRITE_TIMEOUT_SECONDS
        assert end.result() == (4408, "Connection initialisation timeout")
    review(server, one, "still there")
    assert quick.texts(1) == ["still there"]
    for client in slow:
        assert client.wait_closed()[0] in {0, 1006, 1011}
    slow_stream.settimeout(PATIENCE)
    received = len(LONG)
    while more := receive(slow_stream):
        received += len(more)
    assert received < MANY * len(LONG.encode())
    idle.close()
    slow_stream.close()
    quiet.set_timeout(PATIENCE)
    comments = (line for line in quiet.lines() if line)
    assert [next(comments) for _ in range(2)] == [": ping", ": ping"]
    assert "Traceback" not in server.log.read_text()


def receive(connection):
    try:
        return connection.recv(1_000_000)
    except ConnectionResetError:
        return b""


def test_shutdown_closes_websockets_and_streams_and_rejects_new_connections(
    ending, websocket, stream, book, review
):
    server, one = ending, book(ending)
    clients = [websocket(server).init().subscribe(book=one) for _ in range(10)]
    streams = [stream(server, book=one, after=server.cursor()) for _ in range(10)]
    silent = websocket(server)
    review(server, one, "the last")
    for client in (*clients, *streams):
        assert client.texts(1) == ["the last"]
    server.terminate()
    assert {client.wait_closed() for client in (*clients, silent)} == {(1012, "Service Restart")}
    assert {events.next() for events in streams} == {("end", None)}
    with contextlib.suppress(OSError, InvalidHandshake):  # if no process listens any more
        assert websocket(server).wait_closed()[0] == 1012
    assert server.wait() == 0
    assert "Traceback" not in server.log.read_text()
