"""The ASGI application: GraphQL on the line, and the whole Flask application beside it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cross_web import HTTPException
from flask import Flask
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app import observe
from app.access import access_to
from app.address import client_of
from app.config import Settings
from app.database import unbegun
from app.errors import ApiError, BadRequest
from app.events import Event, Head
from app.live.figures import EVENTS, Watched
from app.live.hub import Hub
from app.live.line import Calling, Line
from app.live.lines import Lines, TooManyConnections
from app.live.mounted import Mounted
from app.live.operations import Graph, Operations
from app.live.reader import Reader
from app.live.streams import METHODS, MethodNotAllowed, OtherSite, refused, within
from app.live.view import View

SOCKET = "/graphql"
STREAM = "/graphql/stream"
LAST_SECONDS = 5.0
"""So long the requests may take that came in last of all: nobody else waits for them."""
log = logging.getLogger(__name__)


class Live:
    """Serves ``app`` and its graph over ASGI; made once for each process."""

    def __init__(self, app: Flask, graph: Graph, settings: Settings) -> None:
        self._settings = settings
        self._mounted = Mounted(app)
        self._access = access_to(app)
        self._reader = Reader(app, self._take, self._reset)
        with app.app_context():
            self._hub = Hub(self._reader.catch_up, unbegun(), self.in_thread)
        self._lines = Lines(self._revoked)
        operations = Operations(app, graph, self._hub, self.in_thread)
        origins = settings.allowed_origins
        self._view = View(operations, self._access, self._lines, self.in_thread, origins)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection or request."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
        elif scope["path"] == STREAM:
            await self._serve_stream(scope, receive, send)
        else:
            await self._mounted(scope, receive, send)

    def leave(self) -> None:
        """Send everybody away: this process is about to end."""
        self._lines.leave()
        self._mounted.is_leaving = True

    async def in_thread(self, call: Callable[..., Any], *words: Any) -> Any:
        """Call what waits for a server, on the threads that answer requests too."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._mounted.threads, partial(call, *words))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._loop = asyncio.get_running_loop()
        self._reader.start()
        watch = asyncio.create_task(self._lines.watch())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watch.cancel()
        await asyncio.to_thread(self._reader.stop)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._mounted.at_rest(), LAST_SECONDS)
        await send({"type": "lifespan.shutdown.complete"})

    def _take(self, new: Sequence[Event]) -> None:
        EVENTS.inc(len(new))
        self._in_loop(self._hub.publish, new)

    def _reset(self, head: Head, recent: Sequence[Event]) -> None:
        self._in_loop(self._hub.reset, head, recent)

    def _in_loop(self, call: Callable[..., Any], *words: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *words)

    async def _revoked(self, shown: set[str]) -> set[str]:
        def find() -> set[str]:
            return {text for text in shown if self._access.client(text, "").key is None}

        revoked: set[str] = await self.in_thread(find)
        return revoked

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != SOCKET:
            await send({"type": "websocket.close"})  # before it was accepted: a refusal
            return
        line = self._line(scope, receive, send)
        with Watched(line):
            try:
                with self._lines.hold(line):
                    await line.serve(self._view)
            except TooManyConnections as error:
                await line.turn_away(error.code, error.detail)

    async def _serve_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = self._line(scope, within(receive, self._settings.max_body_bytes), send)
        with Watched(line):
            try:
                await self._admit(line)
                with self._lines.hold(line):
                    await line.serve(self._view.answer)
            except HTTPException as error:
                line.ended = "refused"
                await refused(BadRequest(error.reason), line.request_id)(scope, receive, send)
            except ApiError as error:
                line.ended = "refused"
                await refused(error, line.request_id)(scope, receive, send)

    def _line(self, scope: Scope, receive: Receive, send: Send) -> Line:
        headers = Headers(scope=scope)
        environ = {
            "REMOTE_ADDR": (scope.get("client") or ("",))[0],
            "HTTP_X_FORWARDED_FOR": ",".join(headers.getlist("x-forwarded-for")),
            "HTTP_X_REQUEST_ID": headers.get("x-request-id", ""),
        }
        observe.name(environ)
        address = client_of(environ, self._settings.trusted_proxies)
        calling = Calling(environ[observe.ID], address, headers.get("authorization"))
        return Line(scope, receive, send, calling)

    async def _admit(self, line: Line) -> None:
        """Check who asks for a stream, as the gate does for every other request."""
        request = Request(line.scope)
        if request.method not in METHODS.split(", "):
            raise MethodNotAllowed(f"A stream is asked for by {METHODS}.")
        if not self._view.is_of_our_site(request):
            raise OtherSite("Pages of this site may not ask.")
        line.client = await self.in_thread(self._access.admit, line.presented, line.address)
