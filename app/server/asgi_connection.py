"""gunicorn's connection under asgi, with bounds on what its client may leave unfinished.

It also repairs what gunicorn leaves out of HTTP: see each method.
"""

import asyncio
import logging
import select
import time
from http import HTTPStatus
from typing import Any

from gunicorn.asgi import protocol
from gunicorn.asgi.parser import LimitRequestHeaders
from gunicorn.asgi.protocol import ASGIProtocol

from app.server import bounds
from app.server.bounds import RepeatedWarning, cut
from app.server.early_response import TOO_LARGE, early_response
from app.server.open_connections import OpenConnections

CONNECTION = "gunicorn.asgi.protocol:ASGIProtocol"
PRIVATE_NAMES = (
    "gunicorn.asgi.protocol:_REASON_PHRASES",
    f"{CONNECTION}._arm_keepalive_timer",
    f"{CONNECTION}._awaiting_request",
    f"{CONNECTION}._build_websocket_scope",
    f"{CONNECTION}._callback_parser",
    f"{CONNECTION}._check_h1c_protocol_available",
    f"{CONNECTION}._close_transport",
    f"{CONNECTION}._closed",
    f"{CONNECTION}._current_request",
    f"{CONNECTION}._feed_callback_parser",
    f"{CONNECTION}._on_headers_complete",
    f"{CONNECTION}._request_ready",
    f"{CONNECTION}._resume_reading",
    f"{CONNECTION}._safe_write",
    f"{CONNECTION}._send_error_response",
    f"{CONNECTION}._send_response_start",
    f"{CONNECTION}.req_count",
    f"{CONNECTION}.transport",
)
LINE_OVERHEAD = 4
"""The bytes of a header line beside its name and value."""
_warn_unreadable = RepeatedWarning(logging.getLogger(__name__), "a request cannot be parsed")
# gunicorn writes "Unknown" for statuses that it does not list.
protocol._REASON_PHRASES.update(  # noqa: SLF001  # see PRIVATE_NAMES
    {s.value: s.phrase for s in HTTPStatus if s.value not in protocol._REASON_PHRASES}  # noqa: SLF001
)
# It stores what it finds in the class that asks, but reads a part of it from its own.
ASGIProtocol._check_h1c_protocol_available()  # noqa: SLF001


class HttpConnection(ASGIProtocol):  # type: ignore[misc]  # gunicorn has no types
    """A connection; ``connections`` decides how long it may stay."""

    _closed: bool

    def __init__(self, worker: Any, connections: OpenConnections) -> None:
        super().__init__(worker)
        self._connections = connections
        self.opened_at = self.idle_since = time.monotonic()
        self.head_since: float | None = None
        """Since when a head is incomplete."""
        self._held = 0
        """The bytes of an incomplete head, or of what follows a complete request."""
        self._unread_since: float | None = None
        """Since when the write buffer is full, or waits to be emptied before the close."""
        self._discards = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, TimeoutError):  # the kernel's: see TCP_USER_TIMEOUT
            cut("response", "timeout")
        super().connection_lost(exc)
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if not self._discards:
            super().data_received(data)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_since = time.monotonic()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_since = None

    def is_idle(self) -> bool:
        """Return whether no byte of a request has arrived, not even in the kernel."""
        if not self._awaiting_request or self.head_since or self.transport.is_closing():
            return False
        readable = select.poll()
        readable.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not readable.poll(0)

    def overdue(self, now: float) -> str | None:
        """Return what has taken too long: a head, a response, or a connection without a request."""
        if self._unread_since is not None:
            return (
                "response" if now - self._unread_since > bounds.RESPONSE_TIMEOUT_SECONDS else None
            )
        if self.transport.is_closing():  # until its client has read what is in the buffer
            self._unread_since = now
        elif self.head_since is not None:
            return "head" if now - self.head_since > bounds.HEAD_TIMEOUT_SECONDS else None
        elif self._awaiting_request and self.req_count <= 1:  # later ones: gunicorn's keepalive
            late = now - self.opened_at > bounds.HEAD_TIMEOUT_SECONDS
            return "connection" if late else None
        return None

    def refuse(self, status: int, detail: str) -> None:
        """Respond with an error and close the connection."""
        self._send_error_response(status, detail)
        self.close()

    def close(self) -> None:
        """Close the connection when its client has read what is left."""
        self._close_transport()
        self._request_ready.set()  # ends the task that waits for a request

    def abort(self) -> None:
        """Drop the connection at once."""
        self.transport.abort()

    def _close_transport(self) -> None:
        """Close our half of a connection; discard what still arrives, until the client closes its.

        To close the whole while the client sends would reset it, and could lose the response.
        """
        if self._closed or self.is_idle() or not self.transport.can_write_eof():
            super()._close_transport()
            return
        self._closed = self._discards = True
        self._resume_reading()
        self.transport.write_eof()
        asyncio.get_running_loop().call_later(bounds.LINGER_SECONDS, self.transport.close)

    def _arm_keepalive_timer(self) -> None:
        super()._arm_keepalive_timer()
        self.idle_since = time.monotonic()

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Count the bytes that wait for their request; respond 400 to what cannot be parsed.

        gunicorn would log a traceback, for example for a Content-Length of 5,000 digits.
        """
        try:
            proceed: bool = super()._feed_callback_parser(data)
        except Exception as error:  # noqa: BLE001  # whatever it is, the client has caused it
            _warn_unreadable(type(error).__name__)
            self.refuse(HTTPStatus.BAD_REQUEST, "The request cannot be parsed.")
            proceed = False
        if not proceed:
            self._hold(0)
        elif self._current_request is None:
            already = 0 if self.head_since is None else self._held
            self.head_since = self.head_since or time.monotonic()
            self._hold(already + len(data))
        else:
            self.head_since = None
            # What follows a complete request waits until that is handled, or its stream ends.
            self._hold(len(self._callback_parser.remaining()))
        return proceed and not self._closed

    def _hold(self, size: int) -> None:
        if size != self._held:
            self._held = size
            self._connections.hold(self, size)

    def _on_headers_complete(self) -> Any:
        headers = self._callback_parser.headers
        size = sum(len(name) + len(value) for name, value in headers)
        if size + LINE_OVERHEAD * len(headers) > bounds.MAX_HEAD_BYTES:
            raise LimitRequestHeaders("The head of the request is too large.")
        return super()._on_headers_complete()

    def _send_error_response(self, status: int, message: str, extra_headers: Any = ()) -> None:
        """Write a problem document, as the application does; gunicorn would write text."""
        if status in TOO_LARGE:
            cut("head", "size")
        headers = "".join(f"{name}: {value}\r\n" for name, value in extra_headers)
        self._safe_write(early_response(status, message, headers))

    def _send_response_start(
        self, status: int, headers: Any, request: Any, close: bool = False
    ) -> None:
        """Announce to an HTTP/1.0 client that the connection stays open (RFC 9112, C.2.2)."""
        is_silent = request.version < (1, 1) and not close
        if is_silent and all(name.lower() != b"connection" for name, _ in headers):
            headers = [*headers, (b"connection", b"keep-alive")]
        super()._send_response_start(status, headers, request, close=close)

    def _build_websocket_scope(self, request: Any, sockname: Any, peername: Any) -> Any:
        """Read all lines of Sec-WebSocket-Protocol, not only the first (RFC 6455, 11.3.4)."""
        scope = super()._build_websocket_scope(request, sockname, peername)
        lines = [value for name, value in scope["headers"] if name == b"sec-websocket-protocol"]
        offered = b",".join(lines).decode("latin-1").split(",")
        scope["subprotocols"] = [name.strip() for name in offered if name.strip()]
        return scope
