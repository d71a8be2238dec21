"""A minimal HTTP/1.1 client over a raw keep-alive socket, which uses as little CPU as possible."""

import socket
import time
from collections.abc import Container, Mapping
from dataclasses import dataclass

HEAD_END = b"\r\n\r\n"
CONTENT_LENGTH = b"content-length: "
NO_BODY = (204, 304)
MEMORY_HIT = "hit; detail=memory"


@dataclass(frozen=True, slots=True)
class Response:
    """A response, with the times of ``time.monotonic`` before its request and after it."""

    began: float
    ended: float
    status: int
    cache: str
    """What Cache-Status says after the name of the cache, such as ``hit``."""
    etag: str
    body: bytes

    @property
    def is_hit(self) -> bool:
        """Return whether the response came from the cache."""
        return self.cache.partition(";")[0] == "hit"

    @property
    def is_memory_hit(self) -> bool:
        """Return whether the response came from the memory of a process."""
        return self.cache == MEMORY_HIT


class HttpConnection:
    """One connection: ``send`` a request, then ``receive`` until the response is complete."""

    def __init__(self, port: int, timeout: float = 30.0, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parts: list[bytes] = []
        self._missing = 0
        self.head = b""

    def send(self, message: bytes) -> None:
        """Send one request; the previous response has to be complete."""
        self._parts.clear()
        self._missing = 0
        self.socket.sendall(message)

    def receive(self) -> bool:
        """Receive a part of the response, and return whether the response is complete."""
        part = self.socket.recv(1 << 18)
        if not part:
            raise ConnectionResetError("closed in the middle of a response")
        self._parts.append(part)
        if self._missing:
            self._missing -= len(part)
            return self._missing == 0
        return self._parse_head()

    def _parse_head(self) -> bool:
        received = b"".join(self._parts)
        end = received.find(HEAD_END)
        if end < 0:
            return False
        self.head = received[:end]
        if self.status in NO_BODY:
            return True
        lower = self.head.lower()
        start = lower.index(CONTENT_LENGTH) + len(CONTENT_LENGTH)
        length = int(lower[start:].split(b"\r\n", 1)[0])
        self._missing = end + len(HEAD_END) + length - len(received)
        return self._missing == 0

    @property
    def response_started(self) -> bool:
        """Return whether any part of the response was received."""
        return bool(self._parts)

    @property
    def status(self) -> int:
        """Return the status of the response."""
        return int(self.head[9:12])

    @property
    def cache(self) -> str:
        """Return what Cache-Status says after the name of the cache."""
        return self.header("Cache-Status").partition("; ")[2]

    def header(self, name: str) -> str:
        """Return the first header of that name, or an empty string."""
        start = self.head.lower().find(f"\r\n{name.lower()}:".encode())
        line = self.head[start + 2 :].partition(b"\r\n")[0] if start >= 0 else b""
        return line.partition(b":")[2].strip().decode()

    def request(self, message: bytes) -> Response:
        """Send one request and return its response."""
        began = time.monotonic()
        self.send(message)
        while not self.receive():
            pass
        ended = time.monotonic()
        body = b"".join(self._parts)[len(self.head) + len(HEAD_END) :]
        return Response(began, ended, self.status, self.cache, self.header("ETag"), body)

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


class HttpClient:
    """A client that reconnects after an error, and after ``max_requests`` on one connection."""

    def __init__(self, port: int, max_requests: int | None = None) -> None:
        self._port = port
        self._max_requests = max_requests
        self._requests = 0
        self._connection: HttpConnection | None = None

    def request(self, message: bytes) -> Response | None:
        """Return the response, or None if the connection broke before it was complete."""
        if self._requests == self._max_requests:
            self.close()  # the next connection may reach another worker
        self._requests += 1
        try:
            self._connection = self._connection or HttpConnection(self._port)
            return self._connection.request(message)
        except OSError:
            self.close()
            return None

    def insist(self, message: bytes, timeout: float, statuses: Container[int] = (200,)) -> Response:
        """Send a request until its response has one of ``statuses``; raise TimeoutError.

        It may be on a connection of a worker that has just ended.
        """
        deadline = time.monotonic() + timeout
        while (response := self.request(message)) is None or response.status not in statuses:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{message!r}: {response}")
            time.sleep(0.1)
        return response

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._requests = 0


def get(path: str, **headers: str) -> bytes:
    """Return a GET request."""
    return _message("GET", path, b"", {"Accept": "*/*", **headers})


def post(path: str, body: bytes) -> bytes:
    """Return a POST request with a JSON body."""
    return json_request("POST", path, body)


def json_request(method: str, path: str, body: bytes, **headers: str) -> bytes:
    """Return a request with a JSON body."""
    content = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return _message(method, path, body, {**content, **headers})


def _message(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    named = {"Host": "localhost", **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body
