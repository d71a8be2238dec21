"""HTTP/1.1 over a raw kept-alive socket, at the least cost that Python allows."""

import socket

END = b"\r\n\r\n"
LENGTH = b"content-length: "
CACHE = b"cache-status:"


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
        lower = self.head.lower()
        start = lower.index(LENGTH) + len(LENGTH)
        length = int(lower[start:].split(b"\r\n", 1)[0])
        self._missing = end + len(END) + length - len(arrived)
        return self._missing == 0

    @property
    def status(self) -> int:
        """Return the status of the whole answer."""
        return int(self.head[9:12])

    @property
    def cache(self) -> str:
        """Return what Cache-Status says after our name."""
        start = self.head.lower().find(CACHE)
        line = self.head[start:].partition(b"\r\n")[0] if start >= 0 else b""
        return line.partition(b"; ")[2].decode()

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


def get(path: str) -> bytes:
    """Write a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept: */*\r\n\r\n".encode()


def post(path: str, body: bytes) -> bytes:
    """Write a POST of JSON."""
    head = f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
