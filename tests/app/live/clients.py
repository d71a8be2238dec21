"""Clients of graphql-transport-ws and graphql-sse."""

import contextlib
import http.client
import json
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self
from urllib.parse import urlencode

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.waiting import PATIENCE, wait_until

PINGS = PATIENCE // 15
"""A stream without an event sends a comment every fifteen seconds: the event is missing then."""
EVENT = "{ cursor review { id bookId rating reviewer text createdAt } }"
SUBSCRIBE = f"""
subscription($book: ID, $after: String) {{ reviewAdded(bookId: $book, after: $after) {EVENT} }}
"""


class WebSocketClient:
    """A client of graphql-transport-ws that sends a pong for each ping."""

    def __init__(
        self, server: Any, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        # With a maximum of unread messages, to close takes until its timeout if there are more.
        given = {"subprotocols": ["graphql-transport-ws"], "max_queue": None, **options}
        self.connection = connect(
            f"ws://127.0.0.1:{server.port}{given.pop('path', '/graphql')}",
            additional_headers=dict(headers or {}),
            compression=None,
            proxy=None,
            ping_interval=None,
            open_timeout=PATIENCE,
            close_timeout=30,
            max_size=None,
            legacy=True,
            **given,
        )
        self._server = server
        self._pending: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def send(self, **message: Any) -> None:
        """Send a message of the protocol."""
        self.connection.send(json.dumps(message))

    def send_raw(self, message: str | bytes) -> None:
        """Send any message."""
        self.connection.send(message)

    def next(self, timeout: float = PATIENCE) -> Any:
        """Return the next message that is not a ping."""
        if self._pending is not None:
            message, self._pending = self._pending, None
            return message
        deadline = time.monotonic() + timeout
        while True:
            message = json.loads(self.connection.recv(max(0.0, deadline - time.monotonic())))
            if message != {"type": "ping"}:
                return message
            self.send(type="pong")

    def init(self, token: str | None = None) -> Self:
        """Send ``connection_init`` and wait for its acknowledgement."""
        payload = {"Authorization": f"Bearer {token}"} if token else {}
        self.send(type="connection_init", payload=payload)
        assert self.next() == {"type": "connection_ack"}
        return self

    def start(self, query: str, name: str = "1", **variables: Any) -> None:
        """Start an operation."""
        payload = {"query": query, "variables": variables}
        self.send(id=name, type="subscribe", payload=payload)

    def subscribe(self, name: str = "1", query: str = SUBSCRIBE, **variables: Any) -> Self:
        """Subscribe from the current cursor: every review posted after this call arrives."""
        self.start(query, name, **{"after": self._server.cursor(), **variables})
        return self

    def event(self, name: str = "1", timeout: float = PATIENCE) -> Any:
        """Return the next message, which must be an event of this subscription."""
        message = self.next(timeout)
        assert (message["type"], message["id"]) == ("next", name), message
        assert "errors" not in message["payload"], message
        return message["payload"]["data"]["reviewAdded"]

    def texts(self, count: int, name: str = "1") -> list[str]:
        """Return the texts of the next reviews."""
        return [self.event(name)["review"]["text"] for _ in range(count)]

    def error(self, name: str = "1") -> Any:
        """Return the first error of the next message, which must be an error message."""
        message = self.next()
        assert (message["type"], message["id"]) == ("error", name), message
        return message["payload"][0]

    def error_code(self, name: str = "1") -> str:
        """Return the code of the error in the next message."""
        return str(self.error(name)["extensions"]["code"])

    def execute(self, query: str, name: str = "execute", **variables: Any) -> Any:
        """Return the result of a query or mutation."""
        self.start(query, name, **variables)
        message = self.next()
        assert (message["type"], message["id"]) == ("next", name), message
        assert self.next() == {"id": name, "type": "complete"}
        return message["payload"]

    def wait_closed(self, timeout: float = PATIENCE) -> tuple[int, str]:
        """Wait until the connection is closed; return the close code and the reason."""
        deadline = time.monotonic() + timeout
        with contextlib.suppress(ConnectionClosed):
            while True:
                self.connection.recv(max(0.0, deadline - time.monotonic()))
        return self.connection.close_code or 0, self.connection.close_reason or ""

    def reset(self) -> None:
        """Close the TCP connection with a reset."""
        raw = self.connection.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raw.close()

    def received_nothing(self, timeout: float = 0.3) -> bool:
        """Return whether no message arrives; ``next`` returns one that does."""
        if self._pending is None:
            with contextlib.suppress(TimeoutError):
                self._pending = self.next(timeout)
        return self._pending is None

    def is_quiet(self) -> bool:
        """Return whether the server has sent nothing before its pong."""
        self.send(type="ping")
        return bool(self.next() == {"type": "pong"})

    @property
    def worker(self) -> int:
        """Return the id of the server's process."""
        return worker_of(self._server, self.connection.local_address[1])


class EventStreamClient:
    """A client of graphql-sse."""

    def __init__(
        self,
        server: Any,
        query: str = SUBSCRIBE,
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
            parameters = {"query": query, "variables": json.dumps(variables)}
            path += "?" + urlencode(parameters)
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._connection.request(method, path, body, named)
        self._port = self._connection.sock.getsockname()[1]
        self._server = server
        self.response = self._connection.getresponse()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def set_timeout(self, seconds: float) -> None:
        """Wait this long for data from now on."""
        self._connection.sock.settimeout(seconds)

    def close(self) -> None:
        """Close the connection."""
        self.response.close()
        self._connection.close()

    @property
    def status(self) -> int:
        return self.response.status

    def header(self, name: str) -> str | None:
        return self.response.headers.get(name)

    def json(self) -> Any:
        """Return the body of a response that is not a stream."""
        return json.loads(self.response.read())

    def lines(self) -> Iterator[str]:
        """Yield the lines of the stream until its end."""
        while line := self.response.readline():
            yield line.decode().rstrip("\r\n")

    def next(self) -> tuple[str, Any]:
        """Return the type and the data of the next event; comments are skipped."""
        found: dict[str, str] = {}
        pings = 0
        for line in self.lines():
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                found[name.rstrip(":")] = value
            elif line:
                pings += 1
                assert pings < PINGS, "no event"
            elif found:
                data = found.get("data")
                return found["event"], json.loads(data) if data else None
        return "end", None

    def event(self) -> Any:
        """Return the review in the next event."""
        kind, data = self.next()
        assert kind == "next", (kind, data)
        assert "errors" not in data, data
        return data["data"]["reviewAdded"]

    def texts(self, count: int) -> list[str]:
        return [self.event()["review"]["text"] for _ in range(count)]

    @property
    def worker(self) -> int:
        return worker_of(self._server, self._port)


def worker_of(server: Any, port: int) -> int:
    """Return the process at the other end of our connection with this local port."""

    def found() -> int | None:
        for pid in server.workers():
            if any(peer.raddr and peer.raddr.port == port for peer in connections_of(pid)):
                return int(pid)
        return None

    # The lists of the kernel may lack what is in them, while others come and go.
    return int(wait_until(found))


def connections_of(pid: int) -> list[Any]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).net_connections("tcp")
    return []
