"""Connections and their limits, with a simulated clock: on a real service this takes minutes."""

import asyncio
import contextlib
from typing import Any

import pytest

from app.auth.api_keys import ActiveKey
from app.auth.policy import Client
from app.errors import OverCapacity, ShuttingDown
from app.live import registry as registry_module
from app.live.connection import (
    IDLE_TIMEOUT_SECONDS,
    PING_INTERVAL_SECONDS,
    PING_JITTER,
    WRITE_TIMEOUT_SECONDS,
    ClientConnection,
)
from app.live.registry import FORBIDDEN, SERVICE_RESTART, TRY_AGAIN_LATER, ConnectionRegistry
from tests.waiting import PATIENCE

KEY = ActiveKey("0123456789ab", (), frozenset())
EARLIEST_PING = PING_INTERVAL_SECONDS * (1 - PING_JITTER)


class Peer:
    """The client's end of a connection: what was sent to it, and whether it reads."""

    def __init__(self) -> None:
        self.received: list[Any] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.outbox: asyncio.Queue[Any] = asyncio.Queue()

    async def _receive_message(self, message: Any) -> None:
        await self.reads.wait()
        self.received.append(message)

    def connect(
        self, kind: str = "websocket", authorization: str | None = None
    ) -> ClientConnection:
        headers = [(b"authorization", authorization.encode())] if authorization else []
        scope = {"type": kind, "path": "/graphql", "headers": headers}
        scope["subprotocols"] = ["graphql-transport-ws"]
        return ClientConnection(
            scope, self.outbox.get, self._receive_message, request_id="id", address="192.0.2.1"
        )


async def none_revoked(in_use):
    return set()


async def protocol(scope, receive, send):
    """Accept, and receive messages until the connection ends."""
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def served(registry, connection, protocol=protocol):
    async def run():
        with registry.register(connection):
            await connection.serve(protocol)

    task = asyncio.create_task(run())
    await settle()
    yield task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def check_after(registry, connection, seconds):
    """Check all connections as if this one had been silent for so many seconds."""
    registry.check(connection.received_at + seconds)


def test_a_silent_websocket_gets_a_ping_and_is_then_aborted():
    async def scenario():
        peer, registry = Peer(), ConnectionRegistry(none_revoked)
        connection = peer.connect()
        async with served(registry, connection) as task:
            check_after(registry, connection, EARLIEST_PING - 1)
            await settle()
            assert peer.received == [{"type": "websocket.accept"}]
            check_after(registry, connection, PING_INTERVAL_SECONDS + 1)
            await settle()
            assert peer.received[1:] == [{"type": "websocket.send", "text": '{"type":"ping"}'}]
            check_after(registry, connection, IDLE_TIMEOUT_SECONDS - 1)
            assert registry.connections.total == 1
            check_after(registry, connection, IDLE_TIMEOUT_SECONDS + 1)
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.done()
            assert connection.close_reason == "ping timeout"
            assert registry.connections.total == 0

    asyncio.run(scenario())


def test_a_client_that_sends_messages_gets_no_ping():
    async def scenario():
        peer, registry = Peer(), ConnectionRegistry(none_revoked)
        connection = peer.connect()
        async with served(registry, connection):
            connection.received_at -= IDLE_TIMEOUT_SECONDS
            await peer.outbox.put({"type": "websocket.receive", "text": "{}"})
            await settle()
            check_after(registry, connection, EARLIEST_PING - 1)
            await settle()
            assert peer.received == [{"type": "websocket.accept"}]

    asyncio.run(scenario())


def test_a_stream_gets_no_ping_and_may_be_silent():
    async def scenario():
        peer, registry = Peer(), ConnectionRegistry(none_revoked)
        connection = peer.connect("http")
        async with served(registry, connection, lambda scope, receive, send: receive()):
            check_after(registry, connection, 10 * IDLE_TIMEOUT_SECONDS)
            await settle()
            assert peer.received == []
            assert registry.connections.total == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("kind", ["websocket", "http"])
def test_a_client_that_does_not_read_is_aborted(kind):
    async def scenario():
        peer, registry = Peer(), ConnectionRegistry(none_revoked)
        connection = peer.connect(kind)

        async def send_one(scope, receive, send):
            peer.reads.clear()
            await send({"type": "websocket.send", "text": "{}"})

        async with served(registry, connection, send_one) as task:
            registry.check(connection.sent_at + WRITE_TIMEOUT_SECONDS - 1)
            await settle()
            assert not task.done()
            registry.check(connection.sent_at + WRITE_TIMEOUT_SECONDS + 1)
            await asyncio.wait([task], timeout=PATIENCE)
            assert connection.close_reason == "slow reader"
            assert (peer.received, registry.connections.total) == ([], 0)

    asyncio.run(scenario())


def test_shutdown_closes_all_connections_and_rejects_new_ones():
    async def scenario():
        peer, registry = Peer(), ConnectionRegistry(none_revoked)
        async with served(registry, peer.connect()) as task:
            registry.shut_down()
            await asyncio.wait([task], timeout=PATIENCE)
            assert peer.received[-1] == {
                "type": "websocket.close",
                "code": SERVICE_RESTART,
                "reason": "Service Restart",
            }
            with pytest.raises(OverCapacity), registry.register(peer.connect()):
                pass

    asyncio.run(scenario())


def test_a_stream_that_shutdown_closes_before_its_response_may_get_a_problem():
    async def scenario():
        peer, registry = Peer(), ConnectionRegistry(none_revoked)
        connection = peer.connect("http")
        with registry.register(connection):
            serving = connection.serve(lambda scope, receive, send: receive())
            task = asyncio.create_task(serving)
            await settle()
            registry.shut_down()
            with pytest.raises(ShuttingDown):
                await asyncio.wait_for(task, PATIENCE)
        await connection.send({"type": "http.response.start", "status": 503})
        assert peer.received == [{"type": "http.response.start", "status": 503}]

    asyncio.run(scenario())


def test_a_rejected_websocket_gets_a_close_code():
    async def scenario():
        peer = Peer()
        await peer.connect().reject(TRY_AGAIN_LATER, "Later.")
        types = [message["type"] for message in peer.received]
        assert types == ["websocket.accept", "websocket.close"]
        assert peer.received[1]["code"] == TRY_AGAIN_LATER

    asyncio.run(scenario())


def test_connections_are_limited_in_total_and_per_client(monkeypatch):
    monkeypatch.setattr(registry_module, "MAX_CONNECTIONS", 4)

    def connection_of(name):
        connection = Peer().connect()
        connection.client = Client(name)
        return connection

    async def scenario():
        registry = ConnectionRegistry(none_revoked)
        with contextlib.ExitStack() as stack:
            for name in ("a", "a", "b"):
                stack.enter_context(registry.register(connection_of(name)))
            with pytest.raises(OverCapacity, match="You have"):
                stack.enter_context(registry.register(connection_of("a")))
            stack.enter_context(registry.register(connection_of("b")))
            with pytest.raises(OverCapacity, match="This process"):
                stack.enter_context(registry.register(connection_of("c")))
            assert registry.connections.total == 4
        assert registry.connections.total == 0
        assert not registry.connections.by_client

    asyncio.run(scenario())


def test_a_connection_is_counted_by_its_key_once_it_has_one(monkeypatch):
    monkeypatch.setattr(registry_module, "MAX_CONNECTIONS", 2)

    async def scenario():
        registry = ConnectionRegistry(none_revoked)
        one, two, three = (Peer().connect() for _ in range(3))
        with contextlib.ExitStack() as stack:
            stack.enter_context(registry.register(one))
            registry.reassign(one, Client("key 1", KEY))
            stack.enter_context(registry.register(two))  # the address is free again
            with pytest.raises(OverCapacity):
                registry.reassign(two, Client("key 1", KEY))
            with pytest.raises(OverCapacity):
                stack.enter_context(registry.register(three))
        assert not registry.connections.by_client

    asyncio.run(scenario())


def test_only_connections_of_a_revoked_key_are_closed():
    async def all_but_good(in_use):
        return in_use - {"good"}

    async def scenario():
        registry, peers = ConnectionRegistry(all_but_good), [Peer(), Peer(), Peer()]
        sent = ("good", "revoked", None)
        connections = [
            peer.connect(authorization=text) for peer, text in zip(peers, sent, strict=True)
        ]
        async with contextlib.AsyncExitStack() as stack:
            tasks = [
                await stack.enter_async_context(served(registry, connection))
                for connection in connections
            ]
            for connection in connections[:2]:
                registry.reassign(connection, Client(f"key {connection.authorization}", KEY))
            await registry.close_revoked()
            await asyncio.wait([tasks[1]], timeout=PATIENCE)
            assert [task.done() for task in tasks] == [False, True, False]
            assert peers[1].received[-1]["code"] == FORBIDDEN

    asyncio.run(scenario())
