"""The Flask application inside of the ASGI one: a2wsgi, with what it leaves out.

A body that breaks off must not look like a whole one, and an address that is no ASCII must
not be an error of ours: the door says what it thinks of it.
"""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes, urlsplit

from a2wsgi import WSGIMiddleware
from flask import Flask
from starlette.types import Message, Receive, Scope, Send

from app.config import THREADS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

ASCII = bytes(range(0x80))
REST_SECONDS = 0.02
LAST = (b"connection", b"close")


class Mounted:
    """``app`` for ASGI, on a bounded number of threads."""

    def __init__(self, app: Flask) -> None:
        def whole(environ: dict[str, Any], start: "StartResponse") -> Iterable[bytes]:
            # Chunks end where the server says: without this werkzeug reads none.
            environ["wsgi.input_terminated"] = True
            return app.wsgi_app(environ, start)

        self._middleware = WSGIMiddleware(whole, workers=THREADS)  # type: ignore[arg-type]
        self.threads = self._middleware.executor
        self._at_work = 0
        self.is_leaving = False
        """Every answer is the last of its connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._at_work += 1
        try:
            await self._answer(scope, receive, send)
        finally:
            self._at_work -= 1

    async def at_rest(self) -> None:
        """Return when every request is answered."""
        while self._at_work:
            await asyncio.sleep(REST_SECONDS)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        ended = False

        async def body() -> Message:
            nonlocal ended
            message = await receive()
            if message["type"] == "http.disconnect" and not ended:
                raise ConnectionResetError("the client has gone before its body ended")
            ended = not message.get("more_body", False)
            return message

        async def answer(message: Message) -> None:
            if self.is_leaving and message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], LAST]}
            await send(message)

        plain = {**scope, "path": _path(scope), "query_string": _query(scope)}
        await self._middleware(plain, body, answer)  # type: ignore[arg-type]


def _path(scope: Scope) -> str:
    """Return the path, of a whole address too: so a client asks what it takes for a proxy."""
    path: str = scope["path"]
    return path if path.startswith("/") else urlsplit(path).path


def _query(scope: Scope) -> bytes:
    return quote_from_bytes(scope["query_string"], safe=ASCII).encode()
