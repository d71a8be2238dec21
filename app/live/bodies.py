"""Bodies of requests, read by the event loop before a thread is taken for them.

What goes wrong is told to who reads: Flask then answers it as every failure.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import BytesIO
from typing import NoReturn

from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from app.errors import ApiError, Unavailable

BODY_SECONDS = 30.0
HELD_BYTES = 134_217_728
"""Of all bodies in the memory of a process."""


class Failed:
    """Stands for a body that did not come."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def read(self, size: int = -1) -> NoReturn:
        """Raise why."""
        raise self._error

    readline = readlines = __iter__ = read


Body = BytesIO | Failed


class Bodies:
    """The bodies that one process holds, of ``most`` bytes each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    @asynccontextmanager
    async def reading(self, scope: Scope, receive: Receive) -> AsyncIterator[Body]:
        """Read the body of a request, and hold it while the block runs.

        One that is too long is read so far that this can be seen, or not at all.
        """
        chunks = bytearray()
        try:
            yield await self._read(Headers(scope=scope), receive, chunks)
        finally:
            self._held -= len(chunks)

    async def _read(self, headers: Headers, receive: Receive, chunks: bytearray) -> Body:
        told = int(headers.get("content-length", "0"))
        if "transfer-encoding" not in headers and not 0 < told <= self._most:
            return BytesIO()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                await self._fill(chunks, receive)
        except TimeoutError:
            return Failed(ConnectionResetError("the body took too long to come"))
        except (ApiError, OSError) as error:
            return Failed(error)
        return BytesIO(chunks)

    async def _fill(self, chunks: bytearray, receive: Receive) -> None:
        more = True
        while more and len(chunks) <= self._most:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError("the client has gone before its body ended")
            chunk = message.get("body", b"")
            if self._held + len(chunk) > HELD_BYTES:
                raise Unavailable("There are too many large bodies at once. Please try again.")
            chunks += chunk
            self._held += len(chunk)
            more = message.get("more_body", False)
