"""Clients of graphql-transport-ws and graphql-sse, and what they talk about."""

import contextlib
import http.client
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

ROOT = Path(__file__).parents[3]
PATIENCE = 10.0
"""Seconds until what has to come is taken for missing."""
ADDED = "{ cursor review { id bookId rating reviewer text createdAt } }"
OF_BOOK = f"""
subscription($book: ID, $after: String) {{ reviewAdded(bookId: $book, after: $after) {ADDED} }}
"""


class Socket:
    """A client of graphql-transport-ws; it answers pings, as every good one does."""

    def __init__(
        self, server: Any, *, headers: Mapping[str, str] | None = None, **how: Any
    ) -> None:
        given = {"subprotocols": ["graphql-transport-ws"], **how}
        self._line = connect(
            f"ws://127.0.0.1:{server.port}{given.pop('path', '/graphql')}",
            additional_headers=dict(headers or {}),
            compression=None,
            proxy=None,
            ping_interval=None,
            close_timeout=5,
            max_size=None,
            legacy=True,
            **given,
        )
        self._server = server
        self._kept: Any = None
        self.connection = self._line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()

    def send(self, **message: Any) -> None:
        """Send a message of the protocol."""
        self._line.send(json.dumps(message))

    def send_raw(self, message: str | bytes) -> None:
        """Send any message."""
        self._line.send(message)

    def next(self, timeout: float = PATIENCE) -> Any:
        """Return the next message, but for a ping."""
        if self._kept is not None:
            message, self._kept = self._kept, None
            return message
        while True:
            message = json.loads(self._line.recv(timeout))
            if message != {"type": "ping"}:
                return message
            self.send(type="pong")

    def init(self, token: str | None = None) -> Self:
        """Open the conversation."""
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        self.send(type="connection_init", payload=shown)
        assert self.next() == {"type": "connection_ack"}
        return self

    def ask(self, query: str, name: str = "1", **variables: Any) -> None:
        """Ask for an operation."""
        payload = {"query": query, "variables": variables}
        self.send(id=name, type="subscribe", payload=payload)

    def follow(self, name: str = "1", query: str = OF_BOOK, **variables: Any) -> Self:
        """Subscribe from now on: whatever is posted after this call comes."""
        self.ask(query, name, **{"after": self._server.cursor(), **variables})
        return self

    def event(self, name: str = "1", timeout: float = PATIENCE) -> Any:
        """Return the event that has to come next, on this subscription."""
        message = self.next(timeout)
        assert (message["type"], message["id"]) == ("next", name), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]["reviewAdded"]

    def texts(self, count: int, name: str = "1") -> list[str]:
        """Return the texts of the next reviews."""
        return [self.event(name)["review"]["text"] for _ in range(count)]

    def failure(self, name: str = "1") -> Any:
        """Return the first of the errors that have to come next."""
        message = self.next()
        assert (message["type"], message["id"]) == ("error", name), message
        return message["payload"][0]

    def code(self, name: str = "1") -> str:
        """Return the code of the error that has to come next."""
        return str(self.failure(name)["extensions"]["code"])

    def answer(self, query: str, name: str = "answer", **variables: Any) -> Any:
        """Return the one result of a query or mutation."""
        self.ask(query, name, **variables)
        message = self.next()
        assert (message["type"], message["id"]) == ("next", name), message
        assert self.next() == {"id": name, "type": "complete"}
        return message["payload"]

    def end(self, timeout: float = PATIENCE) -> tuple[int, str]:
        """Wait for the end; return its code and reason."""
        deadline = time.monotonic() + timeout
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._line.recv(max(0.0, deadline - time.monotonic()))
        return self._line.close_code or 0, self._line.close_reason or ""

    def vanish(self) -> None:
        """Go without a word."""
        self._line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._line.socket.close()

    def is_waiting(self, timeout: float = 0.3) -> bool:
        """Tell whether nothing has come yet; what has come stays there."""
        if self._kept is None:
            with contextlib.suppress(TimeoutError):
                self._kept = self.next(timeout)
        return self._kept is None

    def is_quiet(self) -> bool:
        """Tell whether nothing has come that nobody took, as far as the server has sent."""
        self.send(type="ping")
        return bool(self.next() == {"type": "pong"})

    @property
    def worker(self) -> int:
        """Return the id of the process at the other end."""
        return worker_of(self._server, self._line.local_address[1])


class Stream:
    """A client of graphql-sse."""

    def __init__(
        self,
        server: Any,
        query: str = OF_BOOK,
        *,
        method: str = "POST",
        path: str = "/graphql/stream",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        **variables: Any,
    ) -> None:
        named = {"Accept": "text/event-stream", **(headers or {})}
        if body is None and method == "POST":
            body = json.dumps({"query": query, "variables": variables}).encode()
            named.setdefault("Content-Type", "application/json")
        elif method == "GET" and "?" not in path:
            words = {"query": query, "variables": json.dumps(variables)}
            path += "?" + urlencode(words)
        self._line = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._line.request(method, path, body, named)
        self.port = self._line.sock.getsockname()[1]
        self._server = server
        self.answer = self._line.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait(self, seconds: float) -> None:
        """Be more patient from here on."""
        self._line.sock.settimeout(seconds)

    def close(self) -> None:
        """Go."""
        self.answer.close()
        self._line.close()

    @property
    def status(self) -> int:
        return self.answer.status

    def header(self, name: str) -> str | None:
        return self.answer.headers.get(name)

    def json(self) -> Any:
        """Return the body of an answer that is no stream."""
        return json.loads(self.answer.read())

    def lines(self) -> Iterator[str]:
        """Give the lines that come, until there is an end."""
        while line := self.answer.readline():
            yield line.decode().rstrip("\r\n")

    def next(self) -> tuple[str, Any]:
        """Return the kind and the data of the next event; comments are no events."""
        found: dict[str, str] = {}
        for line in self.lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                found[name.rstrip(":")] = value
            elif not line and found:
                data = found.get("data")
                return found["event"], json.loads(data) if data else None
        return "the end", None

    def event(self) -> Any:
        """Return the review that has to come next."""
        kind, data = self.next()
        assert kind == "next", (kind, data)
        assert "errors" not in data, data
        return data["data"]["reviewAdded"]

    def texts(self, count: int) -> list[str]:
        return [self.event()["review"]["text"] for _ in range(count)]

    @property
    def worker(self) -> int:
        return worker_of(self._server, self.port)


def worker_of(server: Any, port: int) -> int:
    """Return the process that holds the other end of a connection of ours."""
    for pid in server.workers():
        if any(line.raddr and line.raddr.port == port for line in lines_of(pid)):
            return int(pid)
    raise AssertionError("no worker has this connection")


def lines_of(pid: int) -> list[Any]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).net_connections("tcp")
    return []


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What is closed when the test ends."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(name="socket")
def socket_(stack: ExitStack) -> Callable[..., Socket]:
    """A factory of connected clients."""
    return lambda server, **how: stack.enter_context(Socket(server, **how))


@pytest.fixture
def stream(stack: ExitStack) -> Callable[..., Stream]:
    """A factory of clients that have asked for a stream, and have its head."""
    return lambda server, *query, **how: stack.enter_context(Stream(server, *query, **how))


@pytest.fixture
def book() -> Callable[..., str]:
    """A factory of books; returns the id, as GraphQL writes it."""

    def make(server: Any, **headers: str) -> str:
        words = json.dumps({"title": "Emma", "author": "Jane Austen"}).encode()
        status, _, body = server.request("POST", "/books", words, **headers)
        assert status == 201, body
        return str(json.loads(body)["id"])

    return make


@pytest.fixture
def review() -> Callable[..., int]:
    """A factory of reviews of a book, by REST; returns the id."""

    def make(server: Any, book: str, text: str = "Read in one night.", **headers: str) -> int:
        words = json.dumps({"rating": 4, "reviewer": "Ana", "text": text}).encode()
        status, _, body = server.request("POST", f"/books/{book}/reviews", words, **headers)
        assert status == 201, body
        return int(json.loads(body)["id"])

    return make


@pytest.fixture
def keys() -> Callable[..., str]:
    """Call `flask keys` beside a running service, and return what it says."""

    def call(server: Any, *words: str) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "flask", "--app", str(ROOT / "wsgi.py"), "keys", *words],
            env=server.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return told.stdout

    return call


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait until a sign is there, and return it."""

    def wait(sign: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (found := sign()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return found

    return wait
