"""HTTP/1.1 over a raw kept-alive socket, at the least cost that Python allows."""

import socket
from collections.abc import Mapping

END = b"\r\n\r\n"
LENGTH = b"content-length: "
CACHE = "Cache-Status"
BODILESS = (204, 304)


class Wire:
    """One connection; ``feed`` takes what has arrived until an answer is whole."""

    def __init__(self, port: int, timeout: float = 30.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parts: list[bytes] = []
        self._missing = 0
        self.head = b""

    def send(self, words: bytes) -> None:
        """Send one request; nothing is sent before its answer is whole."""
        self._parts.clear()
        self._missing = 0
        self.socket.sendall(words)

    def feed(self) -> bool:
        """Take one piece of the answer, and tell whether that was the last."""
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionResetError("closed in the middle of an answer")
        self._parts.append(piece)
        if self._missing:
            self._missing -= len(piece)
            return self._missing == 0
        return self._begun()

    def _begun(self) -> bool:
        arrived = b"".join(self._parts)
        end = arrived.find(END)
        if end < 0:
            return False
        self.head = arrived[:end]
        if self.status in BODILESS:
            return True
        lower = self.head.lower()
        start = lower.index(LENGTH) + len(LENGTH)
        length = int(lower[start:].split(b"\r\n", 1)[0])
        self._missing = end + len(END) + length - len(arrived)
        return self._missing == 0

    @property
    def begun(self) -> bool:
        """Tell whether anything of the answer has arrived."""
        return bool(self._parts)

    @property
    def status(self) -> int:
        """Return the status of the whole answer."""
        return int(self.head[9:12])

    def header(self, name: str) -> str:
        """Return the first header of that name, or nothing."""
        start = self.head.lower().find(f"\r\n{name.lower()}:".encode())
        line = self.head[start + 2 :].partition(b"\r\n")[0] if start >= 0 else b""
        return line.partition(b":")[2].strip().decode()

    @property
    def cache(self) -> str:
        """Return what Cache-Status says after our name."""
        return self.header(CACHE).partition("; ")[2]

    @property
    def body(self) -> bytes:
        """Return the body of the whole answer."""
        return b"".join(self._parts)[len(self.head) + len(END) :]

    def ask(self, words: bytes) -> tuple[int, bytes]:
        """Send one request, wait for the answer, and return its status and body."""
        self.send(words)
        while not self.feed():
            pass
        return self.status, self.body

    def close(self) -> None:
        """Close the connection."""
        self.socket.close()


def get(path: str, **headers: str) -> bytes:
    """Write a GET."""
    return _request("GET", path, b"", {"Accept": "*/*", **headers})


def post(path: str, body: bytes) -> bytes:
    """Write a POST of JSON."""
    return send("POST", path, body)


def send(method: str, path: str, body: bytes, **headers: str) -> bytes:
    """Write a request with a body of JSON."""
    length = {"Content-Type": "application/json", "Content-Length": str(len(body))}
    return _request(method, path, body, {**length, **headers})


def _request(method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    named = {"Host": "bench", **headers}
    lines = [f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items()]
    return f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode() + body
