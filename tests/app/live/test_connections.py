"""Lines and their bounds, with a clock that is told: what would take minutes on a real service."""

import asyncio
import contextlib
from typing import Any

import pytest

from app.auth.api_keys import ActiveKey
from app.auth.policy import Client
from app.live import registry as bounds
from app.errors import OverCapacity
from app.live.connection import (
    IDLE_TIMEOUT_SECONDS,
    PING_INTERVAL_SECONDS,
    PING_JITTER,
    WRITE_TIMEOUT_SECONDS,
    ClientConnection,
    Handshake,
)
from app.live.registry import FORBIDDEN, SERVICE_RESTART, TRY_AGAIN_LATER, ConnectionRegistry

KEY = ActiveKey("0123456789ab", b"", frozenset())

SOON = PING_INTERVAL_SECONDS * (1 - PING_JITTER)
"""The earliest that a line may be asked."""


class Wire:
    """The other end of a line: what was sent, and whether it is read."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        self.sent.append(message)

    def line(self, kind: str = "websocket", presented: str | None = None) -> ClientConnection:
        scope = {"type": kind, "path": "/graphql", "subprotocols": ["graphql-transport-ws"]}
        return ClientConnection(scope, self.inbox.get, self.send, Handshake("id", "192.0.2.1", presented))


async def nobody(shown):
    return set()


async def protocol(scope, receive, send):
    """Accept, and take messages until the line ends."""
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def settled():
    for _ in range(10):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def served(lines, line, protocol=protocol):
    async def run():
        with lines.hold(line):
            await line.serve(protocol)

    task = asyncio.create_task(run())
    await settled()
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def look(lines, line, seconds):
    """Look after all lines as if so many seconds had gone by since the last sign of this one."""
    lines._look_at_all(line._heard_at + seconds)


def test_a_silent_socket_is_asked_whether_it_lives_and_then_cut():
    async def story():
        wire, lines = Wire(), ConnectionRegistry(nobody)
        line = wire.line()
        async with served(lines, line) as task:
            look(lines, line, SOON - 1)
            await settled()
            assert wire.sent == [{"type": "websocket.accept"}]
            look(lines, line, PING_INTERVAL_SECONDS + 1)
            await settled()
            assert wire.sent[1:] == [{"type": "websocket.send", "text": '{"type":"ping"}'}]
            look(lines, line, IDLE_TIMEOUT_SECONDS - 1)
            assert len(lines) == 1
            look(lines, line, IDLE_TIMEOUT_SECONDS + 1)
            await asyncio.wait([task], timeout=10)
            assert task.done()
            assert line.ended == "does not answer"
            assert len(lines) == 0

    asyncio.run(story())


def test_whoever_sends_anything_is_not_asked():
    async def story():
        wire, lines = Wire(), ConnectionRegistry(nobody)
        line = wire.line()
        async with served(lines, line):
            line._heard_at -= IDLE_TIMEOUT_SECONDS
            await wire.inbox.put({"type": "websocket.receive", "text": "{}"})
            await settled()
            look(lines, line, SOON - 1)
            await settled()
            assert wire.sent == [{"type": "websocket.accept"}]

    asyncio.run(story())


def test_a_stream_is_not_asked_and_may_be_silent():
    async def story():
        wire, lines = Wire(), ConnectionRegistry(nobody)
        line = wire.line("http")
        async with served(lines, line, lambda scope, receive, send: receive()):
            look(lines, line, 10 * IDLE_TIMEOUT_SECONDS)
            await settled()
            assert wire.sent == []
            assert len(lines) == 1

    asyncio.run(story())


@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_a_client_that_does_not_read_is_cut(kind):
    async def story():
        wire, lines = Wire(), ConnectionRegistry(nobody)
        line = wire.line(kind)

        async def chatty(scope, receive, send):
            wire.reads.clear()
            await send({"type": "websocket.send", "text": "{}"})

        async with served(lines, line, chatty) as task:
            began = line._sent_at
            lines._look_at_all(began + WRITE_TIMEOUT_SECONDS - 1)
            await settled()
            assert not task.done()
            lines._look_at_all(began + WRITE_TIMEOUT_SECONDS + 1)
            await asyncio.wait([task], timeout=10)
            assert line.ended == "does not read"
            assert (wire.sent, len(lines)) == ([], 0)

    asyncio.run(story())


def test_a_process_that_leaves_tells_everybody_and_takes_nobody():
    async def story():
        wire, lines = Wire(), ConnectionRegistry(nobody)
        line = wire.line()
        async with served(lines, line) as task:
            lines.leave()
            await asyncio.wait([task], timeout=10)
            assert wire.sent[-1] == {
                "type": "websocket.close",
                "code": SERVICE_RESTART,
                "reason": "Service Restart",
            }
            with pytest.raises(OverCapacity), lines.hold(wire.line()):
                pass

    asyncio.run(story())


def test_who_is_turned_away_is_told_why():
    async def story():
        wire = Wire()
        await wire.line().turn_away(TRY_AGAIN_LATER, "Later.")
        assert [message["type"] for message in wire.sent] == ["websocket.accept", "websocket.close"]
        assert wire.sent[1]["code"] == TRY_AGAIN_LATER

    asyncio.run(story())


def test_connections_are_bounded_for_all_and_for_each_client(monkeypatch):
    monkeypatch.setattr(bounds, "CONNECTIONS", 4)

    def line(name):
        made = Wire().line()
        made.client = Client(name)
        return made

    async def story():
        lines = ConnectionRegistry(nobody)
        with contextlib.ExitStack() as stack:
            for name in ("a", "a", "b"):
                stack.enter_context(lines.hold(line(name)))
            with pytest.raises(OverCapacity, match="You have"):
                stack.enter_context(lines.hold(line("a")))
            stack.enter_context(lines.hold(line("b")))
            with pytest.raises(OverCapacity, match="This process"):
                stack.enter_context(lines.hold(line("c")))
            assert len(lines) == 4
        assert len(lines) == 0
        assert not lines._connections._of_client

    asyncio.run(story())


def test_who_shows_a_key_is_counted_by_it_from_then_on(monkeypatch):
    monkeypatch.setattr(bounds, "CONNECTIONS", 2)

    async def story():
        lines = ConnectionRegistry(nobody)
        one, two, three = (Wire().line() for _ in range(3))
        with contextlib.ExitStack() as stack:
            stack.enter_context(lines.hold(one))
            lines.rename(one, Client("key 1", KEY))
            stack.enter_context(lines.hold(two))  # the address is free again
            with pytest.raises(OverCapacity):
                lines.rename(two, Client("key 1", KEY))
            with pytest.raises(OverCapacity):
                stack.enter_context(lines.hold(three))
        assert not lines._connections._of_client

    asyncio.run(story())


def test_lines_of_a_revoked_key_end_and_no_others():
    async def all_but_good(shown):
        return shown - {"good"}

    async def story():
        lines, wires = ConnectionRegistry(all_but_good), [Wire(), Wire(), Wire()]
        shown = ("good", "revoked", None)
        made = [wire.line(presented=text) for wire, text in zip(wires, shown, strict=True)]
        async with contextlib.AsyncExitStack() as stack:
            tasks = [await stack.enter_async_context(served(lines, line)) for line in made]
            for line in made[:2]:
                lines.rename(line, Client(f"key {line.presented}", KEY))
            await lines._end_revoked()
            await asyncio.wait([tasks[1]], timeout=10)
            assert [task.done() for task in tasks] == [False, True, False]
            assert wires[1].sent[-1]["code"] == FORBIDDEN

    asyncio.run(story())
