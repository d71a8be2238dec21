"""A request that a wsgi worker is receiving, before a thread handles it."""

import re
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from gunicorn.asgi.parser import PythonProtocol

from app.config import from_env
from app.server import bounds

END_OF_HEAD = b"\r\n\r\n"
EMPTY_LINE = b"\r\n"
HAS_BODY = re.compile(rb"\n(?:content-length|transfer-encoding)[ \t]*:", re.IGNORECASE)
BARE_LF = re.compile(rb"(?<!\r)\n")
EXPECT_CONTINUE = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*(?=\r\n)", re.IGNORECASE)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RECEIVED_AT_ONCE = 262_144
MAX_FRAMING = 8
"""A body in chunks of single bytes takes 6 times as much."""
PRIVATE_NAMES = (
    "gunicorn.asgi.parser:PythonProtocol.content_length",
    "gunicorn.asgi.parser:PythonProtocol.feed",
    "gunicorn.asgi.parser:PythonProtocol.is_complete",
    "gunicorn.asgi.parser:PythonProtocol.path",
)


class BodyLimits:
    """How many bytes a body may have: MAX_BODY_BYTES, or what the route declares."""

    def __init__(self, application: Any) -> None:
        self.default = from_env().max_body_bytes
        # As the factory has set it; the application may be any WSGI application.
        config = getattr(application, "config", {})
        self._by_path: Mapping[str, int] = config.get("BODY_LIMITS", {})

    def of(self, target: bytes) -> int:
        """Return the limit for the target in a request line: a path with a query, or a URL."""
        text = target.decode("latin-1")
        # Not the host that urlsplit would find in a path that begins with two slashes.
        path = text.partition("?")[0] if text.startswith("/") else urlsplit(text).path
        return self._by_path.get(unquote(path), self.default)


class IncomingRequest:
    """The bytes of one request, and what is known of it so far.

    gunicorn's parser for asgi finds the end of a body, as it can be given one part after another.
    """

    def __init__(self, cfg: Any, limits: "BodyLimits") -> None:
        self.data = bytearray()
        self.received = 0
        """How many bytes were received, without empty lines before the request."""
        self.deadline = time.monotonic() + bounds.HEAD_TIMEOUT_SECONDS
        self.is_complete = False
        self.is_hopeless = False
        """It will be rejected: the missing bytes do not matter."""
        self.has_malformed_body = False
        self._limits = limits
        self._max_body_bytes = limits.default
        self._body_bytes = 0
        self._head_bytes = 0
        self._head_is_valid = False
        self._parser = PythonProtocol(
            on_headers_complete=self._accept_head,
            on_body=self._count_body,
            limit_request_line=cfg.limit_request_line,
            limit_request_fields=cfg.limit_request_fields,
            limit_request_field_size=cfg.limit_request_field_size,
        )

    @property
    def missing(self) -> str:
        """Return what is missing: a body, a head, or all of a request on a connection."""
        if self._head_bytes:
            return "body"
        return "head" if self.data else "connection"

    @property
    def has_large_head(self) -> bool:
        return (self._head_bytes or len(self.data)) > bounds.MAX_HEAD_BYTES

    @property
    def takes_memory(self) -> bool:
        """Return whether it is large, or may become so."""
        return self.received > bounds.MAX_HEAD_BYTES or not (self.is_complete or self.is_hopeless)

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes; return what to send now: a 100 if the client waits for one."""
        if not self.data:
            while data.startswith(EMPTY_LINE):  # before a request they mean nothing
                data = data[len(EMPTY_LINE) :]
            self.deadline = time.monotonic() + bounds.HEAD_TIMEOUT_SECONDS
        searched = max(0, len(self.data) - len(END_OF_HEAD))
        self.data += data
        self.received += len(data)
        if self._head_bytes:
            self._parse(data)
            return b""
        end = self.data.find(END_OF_HEAD, searched)
        if end < 0:
            # Its end would never be found.
            self.is_hopeless = BARE_LF.search(self.data, searched) is not None
            return b""
        self._head_bytes = end + len(END_OF_HEAD)
        head = bytes(self.data[: self._head_bytes])
        if HAS_BODY.search(head) is None:
            self.is_complete = True
            return b""
        self.deadline = time.monotonic() + bounds.BODY_TIMEOUT_SECONDS
        self._parse(bytes(self.data))
        return self._continue(head)

    def _continue(self, head: bytes) -> bytes:
        """Return a 100 if the client waits for a useful one; gunicorn must not send any."""
        if head.partition(EMPTY_LINE)[0].endswith(b"HTTP/1.0"):
            return b""
        shorter, expected = EXPECT_CONTINUE.subn(b"", head)
        self.data[: self._head_bytes] = shorter
        self._head_bytes = len(shorter)
        is_decided = self.is_complete or self.is_hopeless
        waits = expected and len(self.data) == self._head_bytes and not is_decided
        return CONTINUE if waits else b""

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed(data)
        except Exception:  # noqa: BLE001  # gunicorn's other parser reports what is wrong in a head
            self.is_hopeless = True
            self.has_malformed_body = self._head_is_valid
            return
        self.is_complete = self._parser.is_complete
        size = max(
            self._parser.content_length or 0, self._body_bytes, len(self.data) // MAX_FRAMING
        )
        self.is_hopeless = size > self._max_body_bytes and not self.is_complete

    def _accept_head(self) -> bool:
        self._head_is_valid = True
        self._max_body_bytes = self._limits.of(self._parser.path)
        return False  # there may be a body

    def _count_body(self, chunk: bytes) -> None:
        self._body_bytes += len(chunk)


def received_from(connection: socket.socket) -> bytes | None:
    """Return what has arrived: nothing at the end, None if there is nothing yet."""
    try:
        return connection.recv(RECEIVED_AT_ONCE)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""
