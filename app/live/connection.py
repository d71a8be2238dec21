"""One client's connection: a WebSocket or an event stream.

strawberry implements the protocols. This module adds what it lacks: it detects clients that do not
read or have disappeared, and it closes connections from the server's side.
"""

import asyncio
import contextlib
import random
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.client_address import exact_address, normalize_address
from app.auth.policy import Client
from app.errors import ShuttingDown
from app.http.request import environ_of
from app.ratelimit.limiter import Headers

PRIVATE_NAMES = (
    "gunicorn.asgi.websocket:WebSocketProtocol._send",
    "gunicorn.asgi.websocket:WebSocketProtocol.transport",
)
"""What this module uses of gunicorn, if that is the server, beyond its documentation."""
OPENING_MESSAGES = ("websocket.accept", "http.response.start")
LAST_CHUNK = {"type": "http.response.body", "body": b"", "more_body": False}
PING = {"type": "websocket.send", "text": '{"type":"ping"}'}
WRITE_TIMEOUT_SECONDS = 10.0
"""A connection is aborted when its client leaves a message unread for this long."""
PING_INTERVAL_SECONDS = 30.0
"""A WebSocket whose client sends nothing gets a ping after this time at the latest."""
PING_JITTER = 0.3
"""Pings are spread over this part of the interval: many clients connect at once after a restart."""
IDLE_TIMEOUT_SECONDS = 50.0
"""A WebSocket whose client sends nothing for this long, not even a pong, is aborted."""
CLOSE_TIMEOUT_SECONDS = 6.0
"""A connection that we close is aborted after this time; gunicorn waits 5 s for a close frame."""
WRITE_BUFFER_MAX_BYTES = 1_048_576
SHUTTING_DOWN = "This process is shutting down; please reconnect."
SCOPE_KEY = "bookstall.connection"
"""The key under which an ASGI scope has its ClientConnection."""


class ClientConnection:
    """A connection. ``serve`` runs its protocol; the registry calls the other methods."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, *, request_id: str, address: str
    ) -> None:
        self.scope = {**scope, SCOPE_KEY: self}
        self.environ = environ_of(scope)
        """The headers of the request, under the names of WSGI."""
        self.request_id = request_id
        self.exact_address = exact_address(address)
        """For the log; ``address`` is the one that limits count."""
        self.address = normalize_address(address)
        self.rate_limit_headers: Headers = ()
        self.status: int | None = None
        """Of the response that has begun; a WebSocket has none."""
        self.bytes_sent = 0
        self.authorization: str | None = self.environ.get("HTTP_AUTHORIZATION")
        """A WebSocket may send another value in ``connection_init``."""
        self.client = Client(f"address {self.address}")
        self.close_reason = "closed"
        """For the metrics and the log."""
        self.is_websocket = scope["type"] == "websocket"
        self.sent_at = self.received_at = self._pinged_at = time.monotonic()
        self._receive = receive
        self._send = send
        self._transport = _transport_of(send)
        self._task: asyncio.Task[Any] | None = None
        self._sends_in_progress = 0
        self._ping_after = PING_INTERVAL_SECONDS * (1 - PING_JITTER * random.random())  # noqa: S311
        self._accepted = False
        self._closing = False

    def set_rate_limit_headers(self, headers: Headers) -> None:
        """Store the headers for the response."""
        self.rate_limit_headers = headers

    async def serve(self, protocol: ASGIApp) -> None:
        """Run ``protocol`` until it ends or the connection is aborted.

        Raise ShuttingDown if that closes a stream before its response has begun.
        """
        self._task = asyncio.current_task()
        try:
            await protocol(self.scope, self.receive, self.send)
        except asyncio.CancelledError:  # by ``abort``, unless the server cancels this task too
            if not self._closing or self._task is None or self._task.uncancel():
                raise
            is_restart = self.close_reason == str(ShuttingDown.close_code)
            if is_restart and not self.is_websocket and self.status is None:
                self._closing = False  # without any response the server would send a 500
                raise ShuttingDown(SHUTTING_DOWN) from None
        except OSError:  # this is how ASGI servers report a disconnected client
            self.close_reason = "disconnected"
        finally:
            self._task = None  # ``abort`` must not cancel what this task does afterwards

    def receive_from(self, receive: Receive) -> None:
        """Receive from ``receive`` from now on, which has the body already."""
        self._receive = receive

    async def receive(self) -> Message:
        message = await self._receive()
        self.received_at = time.monotonic()
        return message

    async def send(self, message: Message) -> None:
        if self._closing:
            return
        if message["type"] == "websocket.close":
            self.close_reason = str(message.get("code", 1000))
        elif message["type"] == "http.response.start":
            self.status = message["status"]
        if not self._sends_in_progress:
            self.sent_at = time.monotonic()
        self._sends_in_progress += 1
        try:
            await self._send(message)
        finally:
            self._sends_in_progress -= 1
            self.sent_at = time.monotonic()
        self.bytes_sent += _size(message)
        self._accepted = self._accepted or message["type"] in OPENING_MESSAGES

    def is_slow(self, now: float) -> bool:
        if self._sends_in_progress and now - self.sent_at > WRITE_TIMEOUT_SECONDS:
            return True
        # gunicorn sends pongs without ``send``; those of a client that does not read pile up here.
        transport = self._transport
        return transport is not None and transport.get_write_buffer_size() > WRITE_BUFFER_MAX_BYTES

    def is_idle(self, now: float) -> bool:
        """Return whether a WebSocket has received nothing, not even a pong, for too long."""
        return self.is_websocket and now - self.received_at > IDLE_TIMEOUT_SECONDS

    def needs_ping(self, now: float) -> bool:
        silent = now - max(self.received_at, self._pinged_at) > self._ping_after
        return self.is_websocket and self._accepted and silent and not self._sends_in_progress

    async def ping(self) -> None:
        self._pinged_at = time.monotonic()
        await self.send(PING)

    async def close(self, code: int, reason: str) -> None:
        """Close the connection: a WebSocket with a close frame, a stream after a complete body."""
        if self._closing:
            return
        self._closing = True
        if self._accepted and not self._sends_in_progress:
            close = {"type": "websocket.close", "code": code, "reason": reason}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await self._send(close if self.is_websocket else LAST_CHUNK)
        self.abort(str(code))

    async def reject(self, code: int, reason: str) -> None:
        """Accept a WebSocket only to close it: browsers hide the reason of a failed handshake."""
        self.close_reason = str(code)
        offered = self.scope["subprotocols"]
        await self._send({"type": "websocket.accept", "subprotocol": next(iter(offered), None)})
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def abort(self, reason: str) -> None:
        """Drop the connection at once, without a close frame."""
        self.close_reason = reason
        self._closing = True
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()  # close() would wait until the client has read everything


def _size(message: Message) -> int:
    body: bytes | None = message.get("body") or message.get("bytes")
    text: str = message.get("text") or ""
    return len(body or b"") + (len(text) if text.isascii() else len(text.encode()))


def _transport_of(send: Send) -> asyncio.WriteTransport | None:
    """Return the transport of a WebSocket, which ASGI does not expose; else None."""
    # uvloop's transports are no subclass of asyncio's.
    transport: asyncio.WriteTransport | None
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport
