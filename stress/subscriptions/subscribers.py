"""Subscribers over WebSocket and SSE that disconnect at random and resume where they were."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from stress.http_client import HttpClient, json_request, post
from stress.subscriptions.records import ReceivedEvent, SubscriberRecord

SUBSCRIPTION = """subscription New($book: ID, $after: String) {
  reviewAdded(bookId: $book, after: $after) { cursor review { id bookId text } }
}"""
CURSOR_REQUEST = post("/graphql", orjson.dumps({"query": "{ eventCursor }"}))
MEAN_LIFETIME = 2.5
"""Seconds until a subscriber closes a connection, on average."""
RECONNECT_PAUSE = 0.6
"""Seconds until the next connection, at most."""
CONNECT_TIMEOUT = 10.0
WEBSOCKET_OPTIONS: dict[str, Any] = {
    "subprotocols": ["graphql-transport-ws"],
    "proxy": None,
    "compression": None,
    "open_timeout": CONNECT_TIMEOUT,
    "close_timeout": 1,
    "ping_interval": None,
}
Message = dict[str, Any]


class ConnectionEnded(Exception):
    """The service closed a connection, or it broke; the message says how in a few words."""


class Subscriber:
    """One subscriber of the reviews of a book, or of all."""

    def __init__(
        self,
        port: int,
        record: SubscriberRecord,
        rng: random.Random,
        stay_connected: threading.Event,
        resumes: bool = True,
    ) -> None:
        self.record = record
        self._resumes = resumes
        self._port, self._rng, self._stay_connected = port, rng, stay_connected
        self._cursor: str | None = None
        self._connected_at = 0.0
        self._connected = False

    async def run(self, delay: float) -> None:
        """Subscribe until cancelled; disconnect at random until ``stay_connected`` is set."""
        await asyncio.sleep(delay)
        if self.record.uses_cursor:
            self._cursor = await asyncio.to_thread(_event_cursor, self._port)
            self.record.start = int(self._cursor.partition("-")[2])
        while True:
            try:
                await self._connect_once()
            except ConnectionEnded as ended:
                self.record.closed.append((time.monotonic(), str(ended)))
            await asyncio.sleep(self._rng.uniform(0, RECONNECT_PAUSE))

    async def _connect_once(self) -> None:
        self._connected = False
        lifetime = self._rng.expovariate(1 / MEAN_LIFETIME)
        receiving = asyncio.create_task(self._receive_events())
        try:
            done, _ = await asyncio.wait([receiving], timeout=lifetime)
            # The last connection stays: every subscriber has to receive the last events.
            if not done and self._stay_connected.is_set():
                await asyncio.wait([receiving])
            self.record.drops += self._connected and not receiving.done()
        finally:
            receiving.cancel()
            # To await it directly would hide that this task is cancelled too: it would go on.
            await asyncio.wait([receiving])
        if not receiving.cancelled():
            receiving.result()

    async def _receive_events(self) -> None:
        results = self._websocket() if self.record.protocol == "ws" else self._sse()
        async with aclosing(results):
            async for result in results:
                self._add_event(result)

    def _subscription(self) -> dict[str, Any]:
        after = self._cursor if self._resumes else None
        return {"query": SUBSCRIPTION, "variables": {"book": self.record.book, "after": after}}

    def _add_event(self, result: Message) -> None:
        if result.get("errors"):
            codes = [error.get("extensions", {}).get("code", "?") for error in result["errors"]]
            self.record.errors += codes
            raise ConnectionEnded(f"error {codes[0]}")
        added = result["data"]["reviewAdded"]
        self._cursor = added["cursor"]
        log, _, position = added["cursor"].partition("-")
        ids = int(position), int(added["review"]["id"]), int(added["review"]["bookId"])
        event = ReceivedEvent(log, *ids, time.monotonic(), self._connected_at)
        self.record.events.append(event)

    def _set_connected(self) -> None:
        self._connected = True
        self.record.connections += 1
        self._connected_at = time.monotonic()

    async def _websocket(self) -> AsyncGenerator[Message, None]:
        url = f"ws://127.0.0.1:{self._port}/graphql"
        try:
            async with connect(url, **WEBSOCKET_OPTIONS) as socket:
                try:
                    async with aclosing(self._subscribe(socket)) as results:
                        async for result in results:
                            yield result
                except asyncio.CancelledError:
                    if self._rng.random() < 0.5:
                        socket.transport.abort()
                    raise
                raise ConnectionEnded(f"close {socket.close_code}")
        except ConnectionClosed as closed:
            code = closed.rcvd.code if closed.rcvd else "none"
            raise ConnectionEnded(f"close {code}") from None
        except (OSError, WebSocketException, asyncio.InvalidStateError) as error:
            raise ConnectionEnded(type(error).__name__) from None

    async def _subscribe(self, socket: ClientConnection) -> AsyncGenerator[Message, None]:
        await socket.send('{"type":"connection_init"}')
        async for text in socket:
            message = orjson.loads(text)
            match message["type"]:
                case "connection_ack":
                    self._set_connected()
                    payload = self._subscription()
                    subscribe = {"id": "1", "type": "subscribe", "payload": payload}
                    await socket.send(orjson.dumps(subscribe).decode())
                case "ping":
                    await socket.send('{"type":"pong"}')
                case "next":
                    yield message["payload"]
                case "error":
                    yield {"errors": message["payload"]}
                case "complete":
                    raise ConnectionEnded("complete")

    async def _sse(self) -> AsyncGenerator[Message, None]:
        try:
            opening = asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = await asyncio.wait_for(opening, CONNECT_TIMEOUT)
        except OSError as error:
            raise ConnectionEnded(type(error).__name__) from None
        try:
            body = orjson.dumps(self._subscription())
            writer.write(json_request("POST", "/graphql/stream", body, Accept="text/event-stream"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), CONNECT_TIMEOUT)
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise ConnectionEnded(head[9:12].decode())
            self._set_connected()
            async with aclosing(_sse_events(reader)) as events:
                async for kind, data in events:
                    if kind == "complete":
                        raise ConnectionEnded("complete")
                    yield orjson.loads(data)
            raise ConnectionEnded("end")
        except asyncio.IncompleteReadError:
            raise ConnectionEnded("incomplete") from None
        except (OSError, TimeoutError) as error:
            raise ConnectionEnded(type(error).__name__) from None
        finally:
            writer.transport.abort()


async def _sse_events(reader: asyncio.StreamReader) -> AsyncGenerator[tuple[str, str], None]:
    """Read server-sent events from a response in chunked transfer coding."""
    text = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        text += (await reader.readexactly(size + 2))[:-2]
        text = text.replace(b"\r\n", b"\n")
        *events, text = text.split(b"\n\n")
        for event in events:
            lines = [line.partition(b": ") for line in event.split(b"\n") if line[:1] != b":"]
            fields = {name.decode(): value.decode() for name, _, value in lines if name}
            if fields:
                yield fields["event"], fields.get("data", "")


def _event_cursor(port: int) -> str:
    """Request the newest cursor until there is a response."""
    while True:
        client = HttpClient(port)
        response = client.request(CURSOR_REQUEST)
        client.close()
        if response is not None and response.status == 200:
            return str(orjson.loads(response.body)["data"]["eventCursor"])
        time.sleep(0.1)


class SubscriberThread:
    """Run all subscribers on an event loop in one thread."""

    def __init__(self, subscribers: Sequence[Subscriber], delays: Sequence[float]) -> None:
        self._pairs = list(zip(subscribers, delays, strict=True))
        self._errors: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "SubscriberThread":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._run_all())
            except asyncio.CancelledError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised in __exit__
                self._errors.append(error)

    async def _run_all(self) -> None:
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            for subscriber, delay in self._pairs:
                group.create_task(subscriber.run(delay))
