"""Clients that leave something unfinished."""

import contextlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psutil

from tests.waiting import PATIENCE, wait_until

JSON = b"Content-Type: application/json\r\n"
HEAD = b"GET /books HTTP/1.1\r\nHost: x\r\nX-A: "
BODY = b"POST /books HTTP/1.1\r\nHost: x\r\n" + JSON + b'Content-Length: 99\r\n\r\n{"ti'
CHUNK = b"POST /books HTTP/1.1\r\nHost: x\r\n" + JSON
CHUNK += b'Transfer-Encoding: chunked\r\n\r\n10\r\n{"ti'
STREAM = b"POST /graphql/stream HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n" + JSON
STREAM += b'Content-Length: 99\r\n\r\n{"qu'
UNFINISHED = {"nothing": b"", "head": HEAD, "body": BODY, "chunk": CHUNK}


def connect(server: Any, sent: bytes = b"", receive_buffer: int | None = None) -> socket.socket:
    """Open a connection and send these bytes."""
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(PATIENCE)
    try:
        connection.connect(("127.0.0.1", server.port))
    except OSError:
        connection.close()
        raise
    with contextlib.suppress(OSError):  # the server may refuse it already
        connection.sendall(sent)
    return connection


@contextlib.contextmanager
def many(server: Any, count: int, sent: bytes) -> Iterator[list[socket.socket]]:
    """Keep ``count`` connections open while the block runs."""
    with ExitStack() as stack:
        yield [stack.enter_context(connect(server, sent)) for _ in range(count)]


def rest(connection: socket.socket) -> bytes:
    """Return what arrives until the server closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while more := connection.recv(65_536):
            received += more
    return received


def until_served(server: Any, path: str) -> bytes:
    """Send a request until it gets a response: a full server may refuse some. Return the body."""

    def response() -> Any:
        with contextlib.suppress(OSError):
            return server.request("GET", path)

    status, _, body = wait_until(response)
    assert status == 200
    return bytes(body)


def cuts(server: Any) -> dict[tuple[str, str], float]:
    """Return how often what was cut, by kind and reason."""
    body = until_served(server, "/metrics")
    lines = [line for line in body.decode().splitlines() if line.startswith("bookstall_cut_total{")]
    found = {}
    for line in lines:
        labels, _, value = line.partition("} ")
        _, kind, _, reason, _ = labels.split('"')
        found[kind, reason] = float(value)
    return found


def memory(server: Any) -> int:
    """Return the bytes of memory of all workers."""
    return sum(psutil.Process(pid).memory_info().rss for pid in server.workers())
