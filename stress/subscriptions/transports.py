"""A class of followers for each way to follow the feed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlencode

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from stress.http_client import get, json_request
from stress.subscriptions.followers import ConnectionEnded, Follower, Message, Way
from stress.subscriptions.records import WEBHOOK, FollowerRecord
from stress.subscriptions.webhooks import WebhookFollower

CHANGES = """subscription Follow($types: [String!], $after: String) {
  changes(types: $types, after: $after) { cursor type at data }
}"""
REVIEWS = """subscription New($book: ID, $after: String) {
  reviewAdded(bookId: $book, after: $after) { cursor review { id bookId text } }
}"""
CONNECT_TIMEOUT = 10.0
PAGE_PAUSE = 0.2
"""Seconds between two pages, about."""
WAIT_SECONDS = 5
WEBSOCKET_OPTIONS: dict[str, Any] = {
    "subprotocols": ["graphql-transport-ws"],
    "proxy": None,
    "compression": None,
    "open_timeout": CONNECT_TIMEOUT,
    "close_timeout": 1,
    "ping_interval": None,
}
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class HttpFollower(Follower):
    """A follower over a connection of its own for HTTP."""

    @asynccontextmanager
    async def connection(self) -> AsyncGenerator[Streams, None]:
        """Open a connection; whatever breaks it raises ConnectionEnded."""
        writer = None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                reader, writer = await asyncio.open_connection("127.0.0.1", self.way.port)
            yield reader, writer
        except asyncio.IncompleteReadError:
            raise ConnectionEnded("incomplete") from None
        except (OSError, TimeoutError) as error:
            raise ConnectionEnded(type(error).__name__) from None
        finally:
            if writer is not None:
                writer.transport.abort()

    def query(self, **parameters: object) -> str:
        """Return the URL of the feed from the cursor on."""
        types = {"type": ",".join(sorted(self.record.types))} if self.record.types else {}
        after = {"after": self.cursor} if self.cursor else {}
        return f"/changes?{urlencode({**types, **after, **parameters})}"


class PageFollower(HttpFollower):
    """Reads page after page; with ``wait``, the service holds the response back."""

    def __init__(self, record: FollowerRecord, way: Way, **wait: int) -> None:
        super().__init__(record, way)
        self._wait = wait

    async def follow(self) -> AsyncGenerator[Message, None]:
        self.cursor = self.cursor or "now"
        async with self.connection() as (reader, writer):
            self.set_connected()
            while True:
                limit = self.way.rng.choice([20, 1000])
                writer.write(get(self.query(limit=limit, **self._wait)))
                head = await read_head(reader, CONNECT_TIMEOUT + WAIT_SECONDS)
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                page = orjson.loads(await reader.readexactly(length))
                for event in page["items"]:
                    yield event
                self.cursor = page["cursor"]
                if not page["has_more"]:
                    await asyncio.sleep(self.way.rng.uniform(0, 2 * PAGE_PAUSE))


class StreamFollower(HttpFollower):
    """Reads the event stream of the feed as the EventSource of a browser does."""

    async def follow(self) -> AsyncGenerator[Message, None]:
        last = {"Last_Event_ID": self.cursor} if self.cursor else {}
        self.cursor = None  # not in the URL
        message = get(self.query(), **{**last, "Accept": "text/event-stream"})
        self.cursor = last.get("Last_Event_ID")
        async with self.connection() as (reader, writer):
            writer.write(message)
            await read_head(reader)
            self.set_connected()
            async with aclosing(read_events(reader)) as events:
                async for fields in events:
                    if "data" in fields:
                        event = orjson.loads(fields["data"])
                        if fields.get("id") != event["cursor"]:
                            self.record.errors.append(f"id {fields.get('id')}")
                        yield event
        raise ConnectionEnded("end")


class GraphQLFollower(HttpFollower):
    """A subscription, whose results the subclasses read."""

    def subscription(self) -> Message:
        """Return the operation."""
        record = self.record
        if record.book is None:
            types = sorted(record.types or ())
            return {"query": CHANGES, "variables": {"types": types, "after": self.cursor}}
        return {"query": REVIEWS, "variables": {"book": record.book, "after": self.cursor}}

    def event_of(self, result: Message) -> Message:
        """Return the event of a result, as the feed would show it."""
        if result.get("errors"):
            codes = [error.get("extensions", {}).get("code", "?") for error in result["errors"]]
            raise ConnectionEnded(f"error {codes[0]}")
        [event] = result["data"].values()
        if "review" not in event:
            return dict(event)
        review = event["review"]
        ids = {"id": int(review["id"]), "book_id": int(review["bookId"])}
        return {"cursor": event["cursor"], "data": {**ids, "text": review["text"]}}


class WebSocketFollower(GraphQLFollower):
    """A subscription over graphql-transport-ws."""

    async def follow(self) -> AsyncGenerator[Message, None]:
        url = f"ws://127.0.0.1:{self.way.port}/graphql"
        try:
            async with connect(url, **WEBSOCKET_OPTIONS) as socket:
                try:
                    async with aclosing(self._subscribe(socket)) as results:
                        async for result in results:
                            yield self.event_of(result)
                except asyncio.CancelledError:
                    if self.way.rng.random() < 0.5:
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
                    self.set_connected()
                    payload = self.subscription()
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


class GraphQLStreamFollower(GraphQLFollower):
    """A subscription over graphql-sse."""

    async def follow(self) -> AsyncGenerator[Message, None]:
        body = orjson.dumps(self.subscription())
        async with self.connection() as (reader, writer):
            writer.write(json_request("POST", "/graphql/stream", body, Accept="text/event-stream"))
            await read_head(reader)
            self.set_connected()
            async with aclosing(read_events(reader)) as events:
                async for fields in events:
                    if fields["event"] == "complete":
                        raise ConnectionEnded("complete")
                    yield self.event_of(orjson.loads(fields["data"]))
        raise ConnectionEnded("end")


async def read_head(reader: asyncio.StreamReader, timeout: float = CONNECT_TIMEOUT) -> str:
    """Return the head of a response in lower case; another status than 200 ends the connection."""
    # Not wait_for: before Python 3.12 it may take no notice that this task is cancelled.
    async with asyncio.timeout(timeout):
        head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise ConnectionEnded(head[9:12].decode())
    return head.decode().lower()


async def read_events(reader: asyncio.StreamReader) -> AsyncGenerator[Mapping[str, str], None]:
    """Read the fields of server-sent events from a response in chunked transfer coding."""
    text = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        text += (await reader.readexactly(size + 2))[:-2]
        text = text.replace(b"\r\n", b"\n")
        *events, text = text.split(b"\n\n")
        for event in events:
            lines = [line.partition(b": ") for line in event.split(b"\n") if line[:1] != b":"]
            fields = {name.decode(): value.decode() for name, _, value in lines if name}
            if fields.keys() - {"retry"}:
                yield fields


SUBSCRIPTIONS: Mapping[str, type[Follower]] = {
    "WebSocket": WebSocketFollower,
    "GraphQL stream": GraphQLStreamFollower,
}
TRANSPORTS: Mapping[str, Callable[[FollowerRecord, Way], Follower]] = {
    "pages": PageFollower,
    "waiting pages": partial(PageFollower, wait=WAIT_SECONDS),
    "event stream": StreamFollower,
    **SUBSCRIPTIONS,
    WEBHOOK: WebhookFollower,
}
