"""One subscriber over a raw socket: graphql-transport-ws at the least cost that Python allows."""

import base64
import json
import os
import re
import socket
from typing import Any

PLACE = re.compile(rb'"cursor":"[0-9a-f]+-(\d+)"')
HEAD_END = b"\r\n\r\n"
SUBSCRIPTION = (
    "subscription { reviewAdded(bookId: %s) "
    "{ cursor review { id bookId rating reviewer text %screatedAt } } }"
)
TEXT, CLOSE = 1, 8
SHORT = 126


def subscription(book: int, alias: str = "") -> str:
    """Write the query; with an ``alias`` it is nobody else's."""
    return SUBSCRIPTION % (book, f"{alias}: " if alias else "")


class Follower:
    """A connection; ``feed`` returns the positions of the events that have arrived whole."""

    def __init__(self, port: int, query: str, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._query = query
        self._greeted = False
        self.acknowledged = False
        self._rest = b""
        self.socket.sendall(_upgrade())

    def feed(self) -> list[int]:
        """Take one piece of what has come; raise ConnectionResetError at the end."""
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionResetError("the server has closed the connection")
        self._rest += piece
        if not self._greeted and not self._greet():
            return []
        return [place for frame in self._frames() for place in self._take(frame)]

    def _greet(self) -> bool:
        head, found, rest = self._rest.partition(HEAD_END)
        if found:
            if not head.startswith(b"HTTP/1.1 101"):
                raise ConnectionResetError(head.decode())
            self._greeted, self._rest = True, rest
            payload = {"query": self._query}
            init, subscribe = {"type": "connection_init"}, {"id": "1", "type": "subscribe"}
            self.socket.sendall(frame(init) + frame({**subscribe, "payload": payload}))
        return self._greeted

    def _frames(self) -> list[bytes]:
        """Cut whole messages off; those of a server are not masked, and ours come in one frame."""
        found: list[bytes] = []
        rest, start = self._rest, 0
        while len(rest) - start >= 2:
            body, length = start + 2, rest[start + 1]
            if length == SHORT:
                body, length = start + 4, int.from_bytes(rest[start + 2 : start + 4], "big")
            if len(rest) < body + length:
                break
            if rest[start] & 15 == CLOSE:
                raise ConnectionResetError(rest[body : body + length].decode(errors="replace"))
            found.append(rest[body : body + length])
            start = body + length
        self._rest = rest[start:]
        return found

    def _take(self, message: bytes) -> list[int]:
        place = PLACE.search(message)
        if place is not None:
            return [int(place[1])]
        if message == b'{"type":"ping"}':
            self.socket.sendall(frame({"type": "pong"}))
        elif message == b'{"type":"connection_ack"}':
            self.acknowledged = True
        else:
            raise ConnectionResetError(message.decode())
        return []


def frame(message: dict[str, Any]) -> bytes:
    """Write one message of a client: masked, by zeros."""
    text = json.dumps(message).encode()
    head = bytes([0x80 | TEXT])
    if len(text) < SHORT:
        return head + bytes([0x80 | len(text)]) + bytes(4) + text
    return head + bytes([0x80 | SHORT]) + len(text).to_bytes(2, "big") + bytes(4) + text


def _upgrade() -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /graphql HTTP/1.1",
        "Host: bench",
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: graphql-transport-ws",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
