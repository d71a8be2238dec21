"""gunicorn's WebSocket, with bounds on what its client may send."""

import asyncio
import time
from typing import Any

from gunicorn.asgi.websocket import WebSocketProtocol

from app.server import bounds
from app.server.bounds import cut

WEBSOCKET = "gunicorn.asgi.websocket:WebSocketProtocol"
PRIVATE_NAMES = (
    f"{WEBSOCKET}._buffer",
    f"{WEBSOCKET}._eof",
    f"{WEBSOCKET}._fragments_size",
    f"{WEBSOCKET}._put_message",
    f"{WEBSOCKET}._read_frame",
    f"{WEBSOCKET}._receive",
    f"{WEBSOCKET}._send_frame",
    f"{WEBSOCKET}._unmask",
    f"{WEBSOCKET}.feed_data",
    f"{WEBSOCKET}.run",
    f"{WEBSOCKET}.transport",
)
FIRST_CONTROL = 0x8
"""The first opcode of control frames (RFC 6455, 5.5)."""
FRAME_OVERHEAD = 6
FRAMES_IN_A_ROW = 50
STEPS = 20
"""Who has used up an allowance waits for this part of it, instead of for each message."""


class Allowance:
    """What a client may use of something: ``at_once``, and then so much in each second."""

    def __init__(self, per_second: int, at_once: int) -> None:
        self._per_second, self._at_once = per_second, at_once
        self._left = float(at_once)
        self._updated_at = time.monotonic()

    def use(self, amount: float) -> None:
        """Use some of it, even what is not there yet."""
        now = time.monotonic()
        gained = (now - self._updated_at) * self._per_second
        self._left = min(self._at_once, self._left + gained) - amount
        self._updated_at = now

    def wait_seconds(self) -> float:
        """Return after how many seconds the client may go on, with more than one step then."""
        if self._left >= 0:
            return 0.0
        return (self._at_once / STEPS - self._left) / self._per_second


class MessageMemory:
    """The bytes of all WebSocket messages that this process has not handled yet."""

    def __init__(self) -> None:
        self.total = 0
        self._held: dict[BoundedWebSocket, int] = {}

    def set(self, websocket: "BoundedWebSocket", size: int) -> None:
        """Count ``size`` bytes for ``websocket``; abort those with most if all hold too many."""
        self.total += size - self._held.pop(websocket, 0)
        if size:
            self._held[websocket] = size
        while self.total > bounds.MAX_MESSAGES_BYTES:
            largest = max(self._held, key=self._held.__getitem__)
            self.total -= self._held.pop(largest)
            cut("websocket", "memory")
            largest.transport.abort()


MEMORY = MessageMemory()


class BoundedWebSocket(WebSocketProtocol):  # type: ignore[misc]  # gunicorn has no types
    """A WebSocket whose client is read only as fast as it may send."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._frames = Allowance(bounds.FRAMES_PER_SECOND, bounds.FRAMES_AT_ONCE)
        self._bytes = Allowance(bounds.BYTES_PER_SECOND, bounds.BYTES_AT_ONCE)
        self._read = 0
        self._queued = 0
        """The characters of messages that the application has not received yet."""

    async def run(self) -> None:
        try:
            await super().run()
        finally:
            self._buffer.clear()
            self._queued = self._fragments_size = 0
            self._count_memory()

    def feed_data(self, data: bytes) -> None:
        super().feed_data(data)
        self._count_memory()

    async def _read_frame(self) -> Any:
        """Wait until the client may send another frame, then read it."""
        wait = max(self._frames.wait_seconds(), self._bytes.wait_seconds())
        if wait and self._eof:  # nobody waits for what a client sent too fast before it left
            return None
        if wait:
            cut("websocket", "rate")
            await asyncio.sleep(wait)
        self._read += 1
        if self._read % FRAMES_IN_A_ROW == 0:  # those in the buffer are read without a pause
            await asyncio.sleep(0)
        frame = await super()._read_frame()
        if frame is not None:
            self._frames.use(1 if frame[0] < FIRST_CONTROL else bounds.CONTROL_FRAME_WEIGHT)
        self._count_memory()
        return frame

    async def _send_frame(self, opcode: int, payload: bytes | str) -> None:
        """Send a frame, unless the client has left: asyncio would log a line for each."""
        if not self.transport.is_closing():
            await super()._send_frame(opcode, payload)

    def _unmask(self, payload: bytes, masking_key: bytes) -> bytes:
        """Count the bytes of a frame, and unmask them by one operation for all."""
        size = len(payload)
        self._bytes.use(FRAME_OVERHEAD + size)
        mask = (masking_key * (size // 4 + 1))[:size]
        unmasked = int.from_bytes(payload) ^ int.from_bytes(mask)
        return unmasked.to_bytes(size)

    async def _put_message(self, message: Any) -> None:
        self._queued += _size(message)
        self._count_memory()
        await super()._put_message(message)

    async def _receive(self) -> Any:
        message = await super()._receive()
        self._queued -= _size(message)
        self._count_memory()
        return message

    def _count_memory(self) -> None:
        MEMORY.set(self, len(self._buffer) + self._fragments_size + self._queued)


def _size(message: Any) -> int:
    return len(message.get("text") or message.get("bytes") or "")
