"""A client of graphql-transport-ws over a raw socket, which uses as little CPU as possible."""

import base64
import os
import re
import socket
from typing import Any

import orjson

POSITION = re.compile(rb'"cursor":"[0-9a-f]+-(\d+)"')
HEAD_END = b"\r\n\r\n"
SUBSCRIPTION = (
    "subscription { reviewAdded(bookId: %d) "
    "{ cursor review { id bookId rating reviewer text createdAt } } }"
)
TEXT, CLOSE = 1, 8
EXTENDED_LENGTH = 126


class SubscriptionClient:
    """A subscription to one book; ``receive`` returns the positions of the received events."""

    def __init__(self, port: int, book: int, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self._query = SUBSCRIPTION % book
        self._upgraded = False
        self.acknowledged = False
        self._buffer = b""
        self.socket.sendall(_upgrade_request())

    def receive(self) -> list[int]:
        """Read from the socket once; raise ConnectionResetError at the end."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionResetError("the server closed the connection")
        self._buffer += part
        if not self._upgraded and not self._upgrade():
            return []
        return [position for message in self._messages() for position in self._handle(message)]

    def _upgrade(self) -> bool:
        head, separator, rest = self._buffer.partition(HEAD_END)
        if separator:
            if not head.startswith(b"HTTP/1.1 101"):
                raise ConnectionResetError(head.decode())
            self._upgraded, self._buffer = True, rest
            subscribe = {"id": "1", "type": "subscribe", "payload": {"query": self._query}}
            self.socket.sendall(_frame({"type": "connection_init"}) + _frame(subscribe))
        return self._upgraded

    def _messages(self) -> list[bytes]:
        """Remove complete messages; a server does not mask, and each message is one frame."""
        messages: list[bytes] = []
        buffer, start = self._buffer, 0
        while len(buffer) - start >= 2:
            body, length = start + 2, buffer[start + 1]
            if length == EXTENDED_LENGTH:
                body, length = start + 4, int.from_bytes(buffer[start + 2 : start + 4], "big")
            if len(buffer) < body + length:
                break
            if buffer[start] & 15 == CLOSE:
                raise ConnectionResetError(buffer[body : body + length].decode(errors="replace"))
            messages.append(buffer[body : body + length])
            start = body + length
        self._buffer = buffer[start:]
        return messages

    def _handle(self, message: bytes) -> list[int]:
        position = POSITION.search(message)
        if position is not None:
            return [int(position[1])]
        if message == b'{"type":"ping"}':
            self.socket.sendall(_frame({"type": "pong"}))
        elif message == b'{"type":"connection_ack"}':
            self.acknowledged = True
        else:
            raise ConnectionResetError(message.decode())
        return []


def _frame(message: dict[str, Any]) -> bytes:
    """Return one masked frame of a client, with a mask of zeros."""
    text = orjson.dumps(message)
    if len(text) < EXTENDED_LENGTH:
        head = bytes([0x80 | TEXT, 0x80 | len(text)])
    else:
        head = bytes([0x80 | TEXT, 0x80 | EXTENDED_LENGTH]) + len(text).to_bytes(2, "big")
    return head + bytes(4) + text


def _upgrade_request() -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = [
        "GET /graphql HTTP/1.1",
        "Host: localhost",
        "Connection: Upgrade",
        "Upgrade: websocket",
        f"Sec-WebSocket-Key: {key}",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: graphql-transport-ws",
    ]
    return "\r\n".join([*lines, "", ""]).encode()
