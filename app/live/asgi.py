"""The ASGI application: GraphQL on the line, and the whole Flask application beside it."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from cross_web import HTTPException
from flask import Flask
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from app.auth.client_address import client_of
from app.auth.policy import access_to
from app.config import LINE_THREADS, Settings
from app.db.engine import unbegun
from app.errors import ApiError, BadRequest
from app.events.log import Event, Head
from app.http import instrumentation as observe
from app.live.connection import Calling, Line
from app.live.event_reader import Reader
from app.live.hub import Hub
from app.live.metrics import EVENTS, Watched
from app.live.operations import Graph, Operations, Threads
from app.live.protocols import View
from app.live.registry import Lines, TooMany
from app.live.sse import OtherSite, check, refused, within
from app.live.wsgi_bridge import Mounted

SOCKET = "/graphql"
STREAM = "/graphql/stream"
TURNED_AWAY = 100
"""So many at once are told why; who comes besides is refused without a word."""
LAST_SECONDS = 5.0
"""So long the requests may take that came in last of all: nobody else waits for them."""
log = logging.getLogger(__name__)


class Live:
    """Serves ``app`` and its graph over ASGI; made once for each process."""

    def __init__(self, app: Flask, graph: Graph, settings: Settings) -> None:
        self._settings = settings
        self._mounted = Mounted(app, settings.max_body_bytes)
        self._line_threads = ThreadPoolExecutor(LINE_THREADS, thread_name_prefix="lines")
        self._access = access_to(app)
        self._reader = Reader(app, self._take, self._reset)
        with app.app_context():
            self._hub = Hub(self._reader.catch_up, unbegun(), self._for_lines)
        self._lines = Lines(self._revoked)
        threads = Threads(self._with_requests, self._for_lines)
        operations = Operations(app, graph, self._hub, self._lines, threads)
        origins = settings.allowed_origins
        self._view = View(operations, self._access, self._lines, self._for_lines, origins)
        self._turning_away = 0
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

    async def _with_requests(self, call: Callable[..., Any], *words: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._mounted.threads, partial(call, *words))

    async def _for_lines(self, call: Callable[..., Any], *words: Any) -> Any:
        """Call what the lines need, on threads that no request can hold."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._line_threads, partial(call, *words))

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
        self._in_loop(self._publish, new)

    def _publish(self, new: Sequence[Event]) -> None:
        try:
            self._hub.publish(new)
        except ValueError:  # one was lost on its way here: never again would one follow
            log.exception("the hub has to be told all events anew")
            self._reader.begin_anew()
        EVENTS.inc(len(new))

    def _reset(self, head: Head, recent: Sequence[Event]) -> None:
        self._in_loop(self._hub.reset, head, recent)

    def _in_loop(self, call: Callable[..., Any], *words: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *words)

    async def _revoked(self, shown: set[str]) -> set[str]:
        def find() -> set[str]:
            return {text for text in shown if self._access.client(text, "").key is None}

        revoked: set[str] = await self._for_lines(find)
        return revoked

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != SOCKET or self._turning_away >= TURNED_AWAY:
            await send({"type": "websocket.close"})  # before it was accepted: a refusal
            return
        line = self._line(scope, receive, send)
        with Watched(line):
            try:
                with self._lines.hold(line):
                    await line.serve(self._view)
            except TooMany as error:
                await self._turn_away(line, error)

    async def _turn_away(self, line: Line, error: TooMany) -> None:
        self._turning_away += 1
        try:
            await line.turn_away(error.code, error.detail)
        finally:
            self._turning_away -= 1

    async def _serve_stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = self._line(scope, within(receive, self._settings.max_body_bytes), send)
        with Watched(line):
            try:
                check(Request(line.scope))
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
        if not self._view.is_of_our_site(Request(line.scope)):
            raise OtherSite("Pages of this site may not ask.")
        line.client = await self._for_lines(self._access.admit, line.presented, line.address)
