"""What one WebSocket may send: how fast, and how much before it is handled."""

import asyncio

import pytest
from gunicorn.asgi.websocket import WebSocketProtocol
from hypothesis import given
from hypothesis import strategies as st

from app.graphql.strawberry_adapter import MAX_OPERATIONS
from app.server import asgi_websocket, bounds
from app.server.asgi_websocket import Allowance, BoundedWebSocket, MessageMemory
from tests.waiting import PATIENCE

TEXT, CONTINUATION, PING = 0x1, 0x0, 0x9
LARGEST_MESSAGE = 131_072


class Transport:
    """Stands for the connection; counts what is written."""

    def __init__(self):
        self.written, self.aborted, self.paused = 0, False, False

    def write(self, data):
        self.written += len(data)

    def is_closing(self):
        return self.aborted

    def abort(self):
        self.aborted = True

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False


def frame(opcode, payload=b"", *, fin=True, mask=b"\x01\x02\x03\x04"):
    """Write a frame of a client."""
    size = len(payload)
    first = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head = bytes([0x80 | size])
    elif size < 65_536:
        head = bytes([0x80 | 126]) + size.to_bytes(2)
    else:
        head = bytes([0x80 | 127]) + size.to_bytes(8)
    return first + head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


def websocket(app, memory=131_072):
    return BoundedWebSocket(Transport(), {"headers": []}, app, None, max_message_size=memory)


async def receives_nothing(scope, receive, send):
    await asyncio.Event().wait()


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


@given(st.binary(max_size=70_000), st.binary(min_size=4, max_size=4))
def test_a_payload_is_unmasked_as_gunicorn_does(payload, key):
    protocol = websocket(receives_nothing)
    assert protocol._unmask(payload, key) == WebSocketProtocol._unmask(protocol, payload, key)


def test_an_allowance_is_used_at_once_and_then_grows_with_time(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(asgi_websocket.time, "monotonic", lambda: now[0])
    allowance = Allowance(per_second=10, at_once=40)
    for _ in range(40):
        allowance.use(1)
        assert allowance.wait_seconds() == 0
    allowance.use(8)
    assert allowance.wait_seconds() == pytest.approx(1.0)  # 8 more, and a step of 2
    now[0] += 1.0
    allowance.use(0)
    assert allowance.wait_seconds() == 0
    now[0] += 1_000
    allowance.use(40)
    assert allowance.wait_seconds() == 0
    allowance.use(1)
    assert allowance.wait_seconds() > 0


@pytest.mark.parametrize(
    "sent",
    [
        frame(PING, b"x" * 125),
        frame(PING),
        frame(TEXT, b'{"type":"pong"}'),
        frame(TEXT, b"x", fin=False) + frame(CONTINUATION, b"x"),
        frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION),
    ],
    ids=["full pings", "empty pings", "messages", "fragments", "empty fragments"],
)
def test_frames_beyond_the_rate_are_not_read(sent, monkeypatch):
    # No time passes, so that nothing more may be read, however slow this machine is.
    monkeypatch.setattr(asgi_websocket.time, "monotonic", lambda: 100.0)

    async def scenario():
        received = []

        async def app(scope, receive, send):
            while True:
                received.append(await receive())

        protocol = websocket(app)
        running = asyncio.create_task(protocol.run())
        weight = bounds.CONTROL_FRAME_WEIGHT if sent[0] & 0x8 else 1
        for _ in range(int(2 * bounds.FRAMES_AT_ONCE / weight)):
            protocol.feed_data(sent)
            await settle()
        assert len(protocol._buffer) > bounds.FRAMES_AT_ONCE // 2
        assert len(received) <= bounds.FRAMES_AT_ONCE + 50
        running.cancel()

    asyncio.run(scenario())


def test_messages_that_nobody_handles_have_a_limit_together(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_MESSAGES_BYTES", 100_000)
    memory = MessageMemory()
    monkeypatch.setattr(asgi_websocket, "MEMORY", memory)

    async def scenario():
        small, large = websocket(receives_nothing), websocket(receives_nothing)
        tasks = [asyncio.create_task(each.run()) for each in (small, large)]
        await settle()
        small.feed_data(frame(TEXT, b"a" * 10_000))
        large.feed_data(frame(TEXT, b"b" * 60_000, fin=False))
        await settle()
        assert memory.total == 70_000
        large.feed_data(frame(CONTINUATION, b"c" * 50_000))
        await settle()
        assert (small.transport.aborted, large.transport.aborted) == (False, True)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert memory.total == 0

    asyncio.run(scenario())


def test_nothing_is_written_to_a_client_that_has_left():
    async def scenario():
        protocol = websocket(receives_nothing)
        running = asyncio.create_task(protocol.run())
        await settle()
        protocol.transport.abort()
        protocol.feed_data(frame(PING) * 5_000)
        protocol.feed_eof()
        await asyncio.wait_for(protocol._receive_queue.get(), PATIENCE)
        await settle()
        assert protocol.transport.written == 0
        running.cancel()

    asyncio.run(scenario())


def test_all_operations_of_a_connection_can_begin_and_end_at_once():
    assert 2 * MAX_OPERATIONS < bounds.FRAMES_AT_ONCE
    assert bounds.BYTES_AT_ONCE > 2 * LARGEST_MESSAGE
