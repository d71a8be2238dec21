"""Run the Flask application inside the ASGI application, on a bounded number of threads.

The event loop reads the whole request body before it takes a thread, so that a slow upload blocks
no thread. The WSGI middleware returns one complete body, so the response goes back to the loop in
one step.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, NoReturn, cast
from urllib.parse import quote_from_bytes, urlsplit

from a2wsgi.wsgi import build_environ
from flask import Flask
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from app.config import THREADS
from app.errors import ApiError, Unavailable

PRIVATE_NAMES = ("a2wsgi.wsgi:build_environ",)
"""What this module uses of a2wsgi beyond its documentation."""
ASCII = bytes(range(0x80))
POLL_SECONDS = 0.02
CONNECTION_CLOSE = (b"connection", b"close")
BODY_TIMEOUT_SECONDS = 30.0
MAX_BUFFERED_BYTES = 134_217_728
"""The limit for all request bodies in the memory of a process together."""


class FailedBody:
    """Stands for a body that could not be read.

    The error surfaces when the view reads the body, so Flask reports it like any other.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int = -1) -> NoReturn:
        raise self._error

    readline = readlines = __iter__ = read


Body = BytesIO | FailedBody


class BodyBuffer:
    """Reads request bodies of at most ``max_bytes`` each and counts the bytes of all of them."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.buffered = 0

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[Body]:
        """Read the body of a request, and count its bytes while the block runs.

        A body that is too long is read only until its length exceeds the limit, or not at all.
        """
        chunks = bytearray()
        try:
            yield await self._read(Headers(scope=scope), receive, chunks)
        finally:
            self.buffered -= len(chunks)

    async def _read(self, headers: Headers, receive: Receive, chunks: bytearray) -> Body:
        length = int(headers.get("content-length", "0"))
        if "transfer-encoding" not in headers and not 0 < length <= self._max_bytes:
            return BytesIO()  # if the length is over the limit, Flask rejects it by its header
        try:
            async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
                await self._fill(chunks, receive)
        except TimeoutError:
            return FailedBody(ConnectionResetError("the request body took too long"))
        except (ApiError, OSError) as error:
            return FailedBody(error)
        return BytesIO(chunks)

    async def _fill(self, chunks: bytearray, receive: Receive) -> None:
        more = True
        while more and len(chunks) <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client disconnected before its body ended")
            chunk = message.get("body", b"")
            if self.buffered + len(chunk) > MAX_BUFFERED_BYTES:
                raise Unavailable("Too many large request bodies at once. Please try again.")
            chunks += chunk
            self.buffered += len(chunk)
            more = message.get("more_body", False)


class WsgiBridge:
    """An ASGI application that calls the Flask application ``app`` in threads."""

    def __init__(self, app: Flask, max_body_bytes: int) -> None:
        self._app = app
        self._bodies = BodyBuffer(max_body_bytes)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="requests")
        self._in_flight = 0
        self.shutting_down = False
        """While it is true, every response carries ``Connection: close``."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._in_flight += 1
        try:
            async with self._bodies.read(scope, receive) as body:
                start, content = await self._call_flask(scope, body)
            if self.shutting_down:
                start["headers"].append(CONNECTION_CLOSE)
            await send(start)
            await send(content)
        finally:
            self._in_flight -= 1

    async def drained(self) -> None:
        """Return when no request is in flight."""
        while self._in_flight:
            await asyncio.sleep(POLL_SECONDS)

    async def _call_flask(self, scope: Scope, body: Body) -> tuple[Message, Message]:
        query = quote_from_bytes(scope["query_string"], safe=ASCII).encode()
        wsgi_scope: Any = {**scope, "path": _path(scope), "query_string": query}
        environ: Any = build_environ(wsgi_scope, cast(Any, body))
        # The server marks the end of a chunked body: without this werkzeug would not read it.
        environ["wsgi.input_terminated"] = True
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self._run, environ)

    def _run(self, environ: Any) -> tuple[Message, Message]:
        start: Message = {"type": "http.response.start"}

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Any:
            start["status"] = int(status[:3])
            start["headers"] = [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ]

        body = b"".join(self._app.wsgi_app(environ, start_response))
        return start, {"type": "http.response.body", "body": body}


def _path(scope: Scope) -> str:
    """Return the path, also of an absolute URL, as clients send it to a proxy (RFC 9112, 3.2.2)."""
    path: str = scope["path"]
    return path if path.startswith("/") else urlsplit(path).path
