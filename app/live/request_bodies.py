"""Request bodies under asgi: how long each may take, and how many bytes a process may hold."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from typing import NoReturn
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from app.errors import ApiError, BadRequest, ContentTooLarge, RequestTimeout, Unavailable
from app.server.bounds import BODY_TIMEOUT_SECONDS, MAX_BODIES_BYTES, cut


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


class RequestBodies:
    """The bodies that a process is reading or has in memory.

    Each has at most ``max_bytes``, or what ``limits`` says for its path.
    """

    def __init__(self, max_bytes: int, limits: Mapping[str, int] | None = None) -> None:
        self._max_bytes = max_bytes
        self._limits = limits or {}
        self.buffered = 0
        """The bytes of all bodies together."""

    @asynccontextmanager
    async def read(self, scope: Scope, receive: Receive) -> AsyncIterator[Body]:
        """Read the body of a request, and count its bytes while the block runs.

        A body that is too long is read only until its length exceeds the limit, or not at all.
        """
        chunks, size, limit = bytearray(), 0, self._limit(scope)
        try:
            if 0 < declared_length(scope) <= limit:
                body = await self._read(receive, chunks, limit)
                size = len(chunks)
                chunks.clear()  # ``body`` has the only copy
                yield body
            else:
                yield BytesIO()  # if it is too long, Flask rejects it by its header
        finally:
            self.buffered -= size + len(chunks)

    @asynccontextmanager
    async def replay(self, scope: Scope, receive: Receive) -> AsyncIterator[Receive]:
        """Read the body of a request, and give a ``receive`` that returns it in one message.

        Raise ApiError if it cannot be read. Its bytes count until ``receive`` is called again.
        """
        if declared_length(scope) > (limit := self._limit(scope)):
            raise _too_large(limit)
        async with AsyncExitStack() as stack:
            body = await stack.enter_async_context(self.read(scope, receive))
            messages = [{"type": "http.request", "body": body.read(), "more_body": False}]
            del body

            async def receive_again() -> Message:
                if messages:
                    return messages.pop()
                await stack.aclose()
                return await receive()

            yield receive_again

    def _limit(self, scope: Scope) -> int:
        return self._limits.get(path_of(scope), self._max_bytes)

    async def _read(self, receive: Receive, chunks: bytearray, limit: int) -> Body:
        deadline = asyncio.get_running_loop().time() + BODY_TIMEOUT_SECONDS
        try:
            while self._add(chunks, await _before(deadline, receive), limit):
                pass
        except ApiError as error:
            return FailedBody(error)
        return BytesIO(bytes(chunks))  # which is not copied again until it is written to

    def _add(self, chunks: bytearray, message: Message, limit: int) -> bool:
        """Add the bytes of a message; return whether more are to come."""
        chunk = message.get("body", b"")
        if self.buffered + len(chunk) > MAX_BODIES_BYTES:
            cut("body", "memory")
            raise Unavailable("Too many large request bodies at once. Please try again.")
        chunks += chunk
        self.buffered += len(chunk)
        if len(chunks) > limit:
            raise _too_large(limit)
        return bool(message.get("more_body", False))


def path_of(scope: Scope) -> str:
    """Return the path, also of an absolute URL, as clients send it to a proxy (RFC 9112, 3.2.2)."""
    path: str = scope.get("path", "")
    if path.startswith("/"):
        return path
    try:
        return urlsplit(path).path
    except ValueError:  # no address has brackets like these; no route has such a path
        return path


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The body is longer than {limit} bytes.")


def declared_length(scope: Scope) -> int:
    """Return the length of the body as the head gives it; 1 if only the end will tell it."""
    headers = Headers(scope=scope)
    return 1 if "transfer-encoding" in headers else int(headers.get("content-length", "0"))


async def _before(deadline: float, receive: Receive) -> Message:
    try:
        async with asyncio.timeout_at(deadline):
            message = await receive()
    except TimeoutError:
        cut("body", "timeout")
        raise RequestTimeout("The body of the request took too long.") from None
    if message["type"] == "http.disconnect":
        raise BadRequest("The body is incomplete.")
    return message
