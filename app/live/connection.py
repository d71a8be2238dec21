"""One client's connection, a WebSocket or an event stream, watched from outside its protocol.

The protocol itself is the library's. What it leaves open is done here: to see that a client does
not read, or is gone, and to end a connection from our side.
"""

import asyncio
import contextlib
import random
import time
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.auth.policy import Client

BEGINNINGS = ("websocket.accept", "http.response.start")
END = {"type": "http.response.body", "body": b"", "more_body": False}
PING = {"type": "websocket.send", "text": '{"type":"ping"}'}
SLOW_SECONDS = 10.0
"""So long a message may wait for its client to read; then the line is cut."""
PING_SECONDS = 30.0
"""After so long a silence at most a WebSocket is asked whether it is alive."""
PING_SPREAD = 0.3
"""Those who came together, as after a restart, are asked in this part of the time before."""
CLOSE_SECONDS = 6.0
"""After so long a line that is told to end is cut; a WebSocket is to answer within 5."""
SILENT_SECONDS = 50.0
"""After so long a silence it is cut."""
PILED_BYTES = 1_048_576
LINE = "bookstall.line"
"""Where a scope names its line."""


class Calling(NamedTuple):
    """What a connection tells of its client when it begins."""

    request_id: str
    address: str
    presented: str | None
    """Its Authorization; a WebSocket may show another when it is open."""


class Line:
    """A connection. ``serve`` runs its protocol; the others are called from outside."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, calling: Calling) -> None:
        self.scope = {**scope, LINE: self}
        self.request_id, self.address, self.presented = calling
        self.client = Client(f"address {self.address}")
        self.ended = "closed"
        """Why it ended, for the log."""
        self.is_socket = scope["type"] == "websocket"
        self._receive = receive
        self._send = send
        self._transport = _transport_of(send)
        self._task: asyncio.Task[Any] | None = None
        self._waiting = 0
        self._sent_at = self._heard_at = self._pinged_at = time.monotonic()
        self._patience = PING_SECONDS * (1 - PING_SPREAD * random.random())  # noqa: S311
        self._open = False
        self._leaving = False

    async def serve(self, protocol: ASGIApp) -> None:
        """Run ``protocol`` to its end, or until this line is cut."""
        self._task = asyncio.current_task()
        try:
            await protocol(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self._leaving or self._task is None or self._task.uncancel():
                raise
        except OSError:  # so a server tells that the client has gone
            self.ended = "gone"
        finally:
            self._task = None  # what it does from here on is not ours to cancel

    async def receive(self) -> Message:
        """Take what comes in, and note that the client lives."""
        message = await self._receive()
        self._heard_at = time.monotonic()
        return message

    async def send(self, message: Message) -> None:
        """Send, while somebody watches how long that takes."""
        if self._leaving:
            return
        if message["type"] == "websocket.close":
            self.ended = str(message.get("code", 1000))
        if not self._waiting:
            self._sent_at = time.monotonic()
        self._waiting += 1
        try:
            await self._send(message)
        finally:
            self._waiting -= 1
            self._sent_at = time.monotonic()
        self._open = self._open or message["type"] in BEGINNINGS

    def is_slow(self, now: float) -> bool:
        """Tell whether the client has let a message wait for too long, or too much pile up."""
        return self._piled_up() or (bool(self._waiting) and now - self._sent_at > SLOW_SECONDS)

    def is_silent(self, now: float) -> bool:
        """Tell whether a WebSocket has not even answered to a ping."""
        return self.is_socket and now - self._heard_at > SILENT_SECONDS

    def wants_ping(self, now: float) -> bool:
        """Tell whether it is time to ask a WebSocket whether it is alive."""
        silent = now - max(self._heard_at, self._pinged_at) > self._patience
        return self.is_socket and self._open and silent and not self._waiting

    async def ping(self) -> None:
        """Ask the client to show that it is alive."""
        self._pinged_at = time.monotonic()
        await self.send(PING)

    async def close(self, code: int, reason: str) -> None:
        """End the line from our side; a WebSocket hears why, a stream ends whole."""
        if self._leaving:
            return
        self._leaving = True
        if self._open and not self._waiting:
            told = {"type": "websocket.close", "code": code, "reason": reason}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._send(told if self.is_socket else END)
        self.cut(str(code))

    async def turn_away(self, code: int, reason: str) -> None:
        """Tell a WebSocket why it is not served. As a page cannot see a refusal, it is accepted."""
        self.ended = str(code)
        offered = self.scope["subprotocols"]
        await self._send({"type": "websocket.accept", "subprotocol": next(iter(offered), None)})
        await self._send({"type": "websocket.close", "code": code, "reason": reason})

    def cut(self, why: str) -> None:
        """End the line at once, without a word to a client who would not read it."""
        self.ended = why
        self._leaving = True
        if self._task is not None:
            self._task.cancel()
        if self._transport is not None:
            self._transport.abort()  # to close it would wait for what it does not read

    def _piled_up(self) -> bool:
        # The server answers the pings of WebSocket itself, however little of that is read.
        transport = self._transport
        return transport is not None and transport.get_write_buffer_size() > PILED_BYTES


def _transport_of(send: Send) -> asyncio.WriteTransport | None:
    """Find what a WebSocket of gunicorn writes to, which ASGI does not tell."""
    found = getattr(getattr(send, "__self__", None), "transport", None)
    return found if isinstance(found, asyncio.WriteTransport) else None
