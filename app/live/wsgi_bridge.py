"""The Flask application inside of the ASGI one: a2wsgi's way in, and a short way out.

A body is read by the event loop, and a thread is taken when it is whole: who sends it slowly keeps
nobody from being served. The door answers with one whole body, so an answer goes back to the loop
in one step.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from urllib.parse import quote_from_bytes, urlsplit

from a2wsgi.wsgi import build_environ
from flask import Flask
from starlette.types import Message, Receive, Scope, Send

from app.config import THREADS
from app.live.bodies import Bodies, Body

ASCII = bytes(range(0x80))
REST_SECONDS = 0.02
LAST = (b"connection", b"close")


class Mounted:
    """``app`` for ASGI, on a bounded number of threads."""

    def __init__(self, app: Flask, most: int) -> None:
        self._app = app
        self._bodies = Bodies(most)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="requests")
        self._at_work = 0
        self.is_leaving = False
        """Every answer is the last of its connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._at_work += 1
        try:
            async with self._bodies.reading(scope, receive) as body:
                head, content = await self._ask(scope, body)
            if self.is_leaving:
                head["headers"].append(LAST)
            await send(head)
            await send(content)
        finally:
            self._at_work -= 1

    async def at_rest(self) -> None:
        """Return when every request is answered."""
        while self._at_work:
            await asyncio.sleep(REST_SECONDS)

    async def _ask(self, scope: Scope, body: Body) -> tuple[Message, Message]:
        asked: Any = {**scope, "path": _path(scope), "query_string": _query(scope)}
        environ: Any = build_environ(asked, cast(Any, body))
        # Chunks end where the server says: without this werkzeug reads none.
        environ["wsgi.input_terminated"] = True
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self._answer, environ)

    def _answer(self, environ: Any) -> tuple[Message, Message]:
        head: Message = {"type": "http.response.start"}

        def start(status: str, headers: list[tuple[str, str]], _: Any = None, /) -> Any:
            head["status"] = int(status[:3])
            head["headers"] = [
                (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
            ]

        body = b"".join(self._app.wsgi_app(environ, start))
        return head, {"type": "http.response.body", "body": body}


def _path(scope: Scope) -> str:
    """Return the path, of a whole address too: so a client asks what it takes for a proxy."""
    path: str = scope["path"]
    return path if path.startswith("/") else urlsplit(path).path


def _query(scope: Scope) -> bytes:
    return quote_from_bytes(scope["query_string"], safe=ASCII).encode()
