"""Subscribers over WebSocket and event stream, who drop at random, and resume where they were."""

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

from stress.caller import Caller
from stress.http_client import post, send
from stress.subscriptions.records import Account, Seen

SUBSCRIBE = """subscription New($book: ID, $after: String) {
  reviewAdded(bookId: $book, after: $after) { cursor review { id bookId text } }
}"""
CURSOR = post("/graphql", orjson.dumps({"query": "{ eventCursor }"}))
LIFETIME = 2.5
"""Seconds that a connection lasts on average, if nobody else ends it."""
JITTER = 0.6
"""Seconds at most before the next."""
OPEN_SECONDS = 10.0
Message = dict[str, Any]


class Away(Exception):  # noqa: N818 - a state of affairs
    """A connection ended from the other side, in one word how."""


class Subscriber:
    """One who follows the reviews of a book, or of all."""

    def __init__(
        self, port: int, account: Account, chance: random.Random, calm: threading.Event
    ) -> None:
        self.account = account
        self.resumes = True
        self._port, self._chance, self._calm = port, chance, calm
        self._cursor: str | None = None
        self._connected = 0.0
        self._is_open = False

    async def live(self, delay: float) -> None:
        """Follow for ever; let go now and then, until all is calm."""
        await asyncio.sleep(delay)
        if self.account.asks:
            self._cursor = await asyncio.to_thread(event_cursor, self._port)
            self.account.start = int(self._cursor.partition("-")[2])
        while True:
            try:
                await self._once()
            except Away as away:
                self.account.ended.append((time.monotonic(), str(away)))
            await asyncio.sleep(self._chance.uniform(0, JITTER))

    async def _once(self) -> None:
        self._is_open = False
        lifetime = self._chance.expovariate(1 / LIFETIME)
        following = asyncio.create_task(self._follow())
        try:
            done, _ = await asyncio.wait([following], timeout=lifetime)
            # The last connections stay: everybody has to see the end.
            if not done and self._calm.is_set():
                await asyncio.wait([following])
            self.account.drops += self._is_open and not following.done()
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following

    async def _follow(self) -> None:
        messages = self._over_socket() if self.account.kind == "ws" else self._over_stream()
        async with aclosing(messages) as told:
            async for message in told:
                self._note(message)

    def _words(self) -> dict[str, Any]:
        after = self._cursor if self.resumes else None
        return {"query": SUBSCRIBE, "variables": {"book": self.account.book, "after": after}}

    def _note(self, result: Message) -> None:
        if result.get("errors"):
            codes = [error.get("extensions", {}).get("code", "?") for error in result["errors"]]
            self.account.errors += codes
            raise Away(f"error {codes[0]}")
        added = result["data"]["reviewAdded"]
        self._cursor = added["cursor"]
        log, _, position = added["cursor"].partition("-")
        review = added["review"]
        place = int(position), int(review["id"]), int(review["bookId"])
        self.account.seen.append(Seen(log, *place, time.monotonic(), self._connected))

    def _opened(self) -> None:
        self._is_open = True
        self.account.connections += 1
        self._connected = time.monotonic()

    async def _over_socket(self) -> AsyncGenerator[Message, None]:
        url = f"ws://127.0.0.1:{self._port}/graphql"
        how: dict[str, Any] = {"subprotocols": ["graphql-transport-ws"], "proxy": None}
        patience = {"open_timeout": OPEN_SECONDS, "close_timeout": 1, "ping_interval": None}
        try:
            async with connect(url, compression=None, **how, **patience) as socket:
                try:
                    async with aclosing(self._talk(socket)) as told:
                        async for result in told:
                            yield result
                except asyncio.CancelledError:
                    if self._chance.random() < 0.5:
                        socket.transport.abort()
                    raise
                raise Away(f"close {socket.close_code}")
        except ConnectionClosed as closed:
            raise Away(f"close {closed.rcvd.code if closed.rcvd else 'none'}") from None
        except (OSError, WebSocketException, asyncio.InvalidStateError) as error:
            raise Away(type(error).__name__) from None

    async def _talk(self, socket: ClientConnection) -> AsyncGenerator[Message, None]:
        await socket.send('{"type":"connection_init"}')
        async for message in socket:
            told = orjson.loads(message)
            match told["type"]:
                case "connection_ack":
                    self._opened()
                    words = {"id": "1", "type": "subscribe", "payload": self._words()}
                    await socket.send(orjson.dumps(words).decode())
                case "ping":
                    await socket.send('{"type":"pong"}')
                case "next":
                    yield told["payload"]
                case "error":
                    yield {"errors": told["payload"]}
                case "complete":
                    raise Away("complete")

    async def _over_stream(self) -> AsyncGenerator[Message, None]:
        try:
            opening = asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = await asyncio.wait_for(opening, OPEN_SECONDS)
        except OSError as error:
            raise Away(type(error).__name__) from None
        try:
            body = orjson.dumps(self._words())
            writer.write(send("POST", "/graphql/stream", body, Accept="text/event-stream"))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), OPEN_SECONDS)
            if b" 200 " not in head.partition(b"\r\n")[0]:
                raise Away(head[9:12].decode())
            self._opened()
            async with aclosing(_events(reader)) as events:
                async for kind, data in events:
                    if kind == "complete":
                        raise Away("complete")
                    yield orjson.loads(data)
            raise Away("end")
        except asyncio.IncompleteReadError:
            raise Away("torn") from None
        except (OSError, TimeoutError) as error:
            raise Away(type(error).__name__) from None
        finally:
            writer.transport.abort()


async def _events(reader: asyncio.StreamReader) -> AsyncGenerator[tuple[str, str], None]:
    """Read the events of a stream whose transfer is chunked."""
    text = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        text += (await reader.readexactly(size + 2))[:-2]
        text = text.replace(b"\r\n", b"\n")
        *events, text = text.split(b"\n\n")
        for event in events:
            lines = [line.partition(b": ") for line in event.split(b"\n") if line[:1] != b":"]
            named = {name.decode(): value.decode() for name, _, value in lines if name}
            if named:
                yield named["event"], named.get("data", "")


def event_cursor(port: int) -> str:
    """Ask where the events stand, until somebody answers."""
    while True:
        caller = Caller(port)
        reply = caller.ask(CURSOR)
        caller.close()
        if reply is not None and reply.status == 200:
            return str(orjson.loads(reply.body)["data"]["eventCursor"])
        time.sleep(0.1)


class Crowd:
    """All subscribers, on an event loop in a thread of their own."""

    def __init__(self, subscribers: Sequence[Subscriber], delays: Sequence[float]) -> None:
        self._pairs = list(zip(subscribers, delays, strict=True))
        self._failed: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Crowd":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        if self._failed:
            raise self._failed[0]

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._live())
            except asyncio.CancelledError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised again where it is heard
                self._failed.append(error)

    async def _live(self) -> None:
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            for subscriber, delay in self._pairs:
                group.create_task(subscriber.live(delay))
