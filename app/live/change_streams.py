"""The change feed as server-sent events, for the EventSource of browsers and any other client."""

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from functools import partial
from http import HTTPStatus

from starlette.types import Receive, Scope, Send

from app.api.validation import query_loader
from app.auth.policy import AccessPolicy
from app.changes.pages import NOW, show
from app.changes.routes import StreamQuery
from app.errors import ApiError
from app.events import log as events
from app.events.log import Event
from app.http.accept import EVENT_STREAM
from app.http.cors import Cors
from app.http.problems import as_api_error
from app.live.connection import LAST_CHUNK, SCOPE_KEY, ClientConnection
from app.live.hub import Batch, Hub
from app.live.metrics import ACTIVE_SUBSCRIPTIONS
from app.live.registry import ConnectionRegistry
from app.live.response_streams import until_disconnected
from app.live.shared_execution import ResultCache
from app.live.sse import StreamResponses

COMMENT_SECONDS = 15.0
"""A stream without an event sends a comment after this time at the latest."""
COMMENT_JITTER = 0.3
"""Comments are spread over this part of the time: an event reaches all streams at once."""
RETRY_MS = (1_000, 3_000)
"""When a client reconnects: a random time, as all clients of a process lose it at once."""
MAX_WRITE_BYTES = 65_536
"""Events are written together up to this size, so that a slow client holds few in memory."""
HEADERS = {
    "Content-Type": f"{EVENT_STREAM}; charset=utf-8",
    "Cache-Control": "no-store",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",  # nginx passes each event on at once
}
read_query = query_loader(StreamQuery)


class ChangeStreams(StreamResponses):
    """An ASGI application for connections that ``AsgiApp`` has admitted."""

    def __init__(
        self,
        hub: Hub,
        policy: AccessPolicy,
        registry: ConnectionRegistry,
        cors: Cors,
    ) -> None:
        super().__init__(cors)
        self._hub = hub
        self._policy = policy
        self._registry = registry
        self._frames = ResultCache[bytes]()

    def check(self, connection: ClientConnection) -> None:
        """Check the query; raise ApiError."""
        read_query(connection.environ["QUERY_STRING"].encode("latin-1"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until the client leaves, or the next ones are gone; raise ApiError.

        No ApiError is raised once the response has begun.
        """
        connection: ClientConnection = scope[SCOPE_KEY]
        with (
            self._registry.subscriptions.hold(connection.client.name),
            ACTIVE_SUBSCRIPTIONS.track_inprogress(),
        ):
            try:
                batches = await self._follow(connection)
                first = await anext(batches)
            except Exception as error:
                raise as_api_error(error, connection.request_id) from error
            async with aclosing(batches):
                await self._begin(connection)
                if connection.environ["REQUEST_METHOD"] == "HEAD":
                    await connection.send(LAST_CHUNK)
                else:
                    await self._send_events(first, batches, connection)

    async def send_problem(self, error: ApiError, connection: ClientConnection) -> None:
        """Respond with a problem document, or with a stream that ends if the client may try again.

        After any status but 200 the EventSource of a browser never reconnects.
        """
        if error.status is not HTTPStatus.SERVICE_UNAVAILABLE:
            await super().send_problem(error, connection)
            return
        await self._begin(connection)
        body = f": {error.detail}\nretry: {1_000 * (error.retry_after or 1)}\n\n".encode()
        await connection.send({"type": "http.response.body", "body": body, "more_body": False})

    async def _follow(self, connection: ClientConnection) -> AsyncGenerator[Batch, None]:
        query = read_query(connection.environ["QUERY_STRING"].encode("latin-1"))
        after = connection.environ.get("HTTP_LAST_EVENT_ID") or query.get("after")
        if after is None:
            after = await self._hub.find_beginning()
        within = COMMENT_SECONDS * (1 - COMMENT_JITTER * random.random())  # noqa: S311
        count = partial(self._policy.count_read, connection.client)
        start = None if after == NOW else after
        return self._hub.batches(query.get("type"), start, count, within)

    async def _begin(self, connection: ClientConnection) -> None:
        headers = self.headers(HEADERS, connection)
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
        await connection.send({"type": "http.response.start", "status": 200, "headers": raw})

    async def _send_events(
        self, first: Batch, batches: AsyncGenerator[Batch, None], connection: ClientConnection
    ) -> None:
        leaves = asyncio.ensure_future(_end_with_client(connection))
        try:
            await _write(f"retry: {random.randint(*RETRY_MS)}\n\n".encode(), connection)  # noqa: S311
            await self._send_batch(first, connection)
            async for batch in batches:
                await self._send_batch(batch, connection)
        except ApiError as error:  # the client reconnects, and then gets it as the response
            connection.close_reason = error.status.phrase.lower()
            await connection.send(LAST_CHUNK)
        finally:
            leaves.cancel()

    async def _send_batch(self, batch: Batch, connection: ClientConnection) -> None:
        for blocks in self._writes(batch):
            await _write(blocks, connection)

    def _writes(self, batch: Batch) -> Iterator[bytes]:
        """Yield the events of a batch as blocks, several at a time.

        Without any it is a comment with the place to resume from: no event moves that place if
        none has the types that the client wants.
        """
        if not batch.events:
            yield f":\nid: {events.format_cursor(batch.log, batch.position)}\n\n".encode()
        blocks: list[bytes] = []
        size = 0
        for event in batch.events:
            block = self._block(batch.log, event)
            blocks.append(block)
            size += len(block)
            if size >= MAX_WRITE_BYTES:
                yield b"".join(blocks)
                blocks, size = [], 0
        if blocks:
            yield b"".join(blocks)

    def _block(self, log: str, event: Event) -> bytes:
        """Return an event as it is sent; made once for all streams."""
        key = log, event.position
        block = self._frames.get(key)
        if block is None:
            cursor = events.format_cursor(log, event.position)
            block = b"id: %s\ndata: %s\n\n" % (cursor.encode(), show(log, event))
            self._frames.put(key, block, len(block))
        return block


async def _write(blocks: bytes, connection: ClientConnection) -> None:
    await connection.send({"type": "http.response.body", "body": blocks, "more_body": True})


async def _end_with_client(connection: ClientConnection) -> None:
    """Abort the connection when its client has left: no write would notice it."""
    await until_disconnected(connection.receive)
    connection.abort("disconnected")
