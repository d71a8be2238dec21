"""Run the Flask application inside the ASGI application, on a bounded number of threads.

The event loop reads the whole request body before it takes a thread, so that a slow upload blocks
no thread. The WSGI middleware returns one complete body, so the response goes back to the loop in
one step, or a stream.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from urllib.parse import quote_from_bytes

from a2wsgi.wsgi import build_environ
from flask import Flask
from starlette.types import Receive, Scope, Send

from app.config import THREADS
from app.http.response import BufferedResponse, Headers
from app.live.memory_hits import MemoryHits, RequestHead
from app.live.request_bodies import Body, FailedBody, RequestBodies, path_of
from app.live.response_streams import ResponseStreams, close_unsent
from app.middleware import HttpMiddleware
from app.server.memory_connection import READS

PRIVATE_NAMES = ("a2wsgi.wsgi:build_environ",)
"""What this module uses of a2wsgi beyond its documentation."""
ASCII = bytes(range(0x80))
POLL_SECONDS = 0.02
CONNECTION_CLOSE = ("Connection", "close")


class WsgiBridge:
    """An ASGI application that calls the Flask application ``app`` in threads."""

    def __init__(self, app: Flask, max_body_bytes: int, hits: MemoryHits) -> None:
        self._middleware = cast(HttpMiddleware, app.wsgi_app)
        self._hits = hits
        self.bodies = RequestBodies(max_body_bytes, app.config["BODY_LIMITS"])
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="requests")
        self._streams = ResponseStreams()
        self._in_flight = 0
        self.shutting_down = False
        """While it is true, every response carries ``Connection: close``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = self.read_head(scope)
        response = None if head is None else await self.respond(head)
        self._in_flight += 1
        try:
            if response is None:
                async with self.bodies.read(scope, receive) as body:
                    response = await self._call_flask(scope, body)
                # What is missing of a body would be taken for the next request.
                if self.shutting_down or isinstance(body, FailedBody):
                    response.headers.append(CONNECTION_CLOSE)
            headers = encode_headers(response.headers)
            status = int(response.status[:3])
            start = {"type": "http.response.start", "status": status, "headers": headers}
            if response.stream is None:
                await send(start)
                await send({"type": "http.response.body", "body": response.body})
            else:
                await self._streams.send(start, response.stream, receive, send)
        finally:
            self._in_flight -= 1

    def read_head(self, scope: Scope) -> RequestHead | None:
        """Return the head of a plain GET or HEAD; None of any other request."""
        return self._hits.read(scope) if scope["method"] in READS else None

    async def respond(self, head: RequestHead) -> BufferedResponse:
        """Return the whole response to a plain read: from memory, or else from a thread."""
        self._in_flight += 1
        try:
            response = await self._hits.respond(head)
            if response is None:
                environ, call = head.environ.copy(), self._middleware.respond_to_read
                response = await asyncio.wrap_future(self.threads.submit(call, environ, head.route))
            if self.shutting_down:
                response.headers.append(CONNECTION_CLOSE)
            return response
        finally:
            self._in_flight -= 1

    async def close(self) -> None:
        """Close what only running requests need."""
        await self._hits.close()

    async def drained(self) -> None:
        """Return when no request is in flight."""
        while self._in_flight:
            await asyncio.sleep(POLL_SECONDS)

    async def _call_flask(self, scope: Scope, body: Body) -> BufferedResponse:
        query = quote_from_bytes(scope["query_string"], safe=ASCII).encode()
        wsgi_scope: Any = {**scope, "path": path_of(scope), "query_string": query}
        environ: Any = build_environ(wsgi_scope, cast(Any, body))
        # The server marks the end of a chunked body: without this werkzeug would not read it.
        environ["wsgi.input_terminated"] = True
        response = self.threads.submit(self._middleware.respond, environ)
        try:
            return await asyncio.wrap_future(response)
        except asyncio.CancelledError:
            response.add_done_callback(close_unsent)
            raise


def encode_headers(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers as ASGI sends them."""
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
