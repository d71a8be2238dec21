"""The ASGI application: GraphQL over WebSockets and event streams, and the whole Flask app."""

import asyncio
import contextlib
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from flask import Flask
from starlette.types import Receive, Scope, Send

from app.auth.client_address import sent_address
from app.changes.routes import PATH as CHANGES_PATH
from app.config import LIVE_THREADS
from app.errors import ApiError, ForbiddenOrigin, InternalError, OverCapacity
from app.http.accept import EVENT_STREAM, JSON, negotiate
from app.http.cors import Cors
from app.http.instrumentation import assign_request_id
from app.http.request import environ_of
from app.http.response import BufferedResponse
from app.live.change_streams import ChangeStreams
from app.live.change_waits import ChangeWaits
from app.live.connection import ClientConnection
from app.live.feed import Feed, run_in
from app.live.memory_hits import RequestHead, make_memory_hits
from app.live.metrics import EVENTS_DELIVERED, count_connection, log_connection
from app.live.operations import LiveSchema, Operations
from app.live.protocols import GraphQLProtocols
from app.live.registry import ConnectionRegistry
from app.live.request_bodies import path_of
from app.live.sse import EventStreams
from app.live.wsgi_bridge import WsgiBridge
from app.services import services_of

WEBSOCKET_PATH = "/graphql"
SSE_PATH = "/graphql/stream"
READS = ("GET", "HEAD")
MAX_REJECTIONS = 100
"""Rejected WebSockets at a time that get a code and a reason; further handshakes get a 403."""
DRAIN_SECONDS = 5.0
"""How long the shutdown of the process waits for requests that are still running."""
log = logging.getLogger(__name__)


class AsgiApp:
    """Serves a Flask application and its GraphQL schema; made once per process."""

    def __init__(self, app: Flask, schema: LiveSchema) -> None:
        services = self.services = services_of(app)
        self._settings = services.settings
        self._cors = Cors(self._settings.allowed_origins)
        self._policy = services.access_policy
        self._snapshots = services.snapshots
        # A pool of its own, so that slow requests cannot delay these calls.
        live_threads = ThreadPoolExecutor(LIVE_THREADS, thread_name_prefix="live")
        self._in_live_thread = run_in(live_threads)
        hits = make_memory_hits(app, self._in_live_thread)
        self._bridge = WsgiBridge(app, self._settings.max_body_bytes, hits)
        self._feed = Feed(services, self._in_live_thread, EVENTS_DELIVERED.inc)
        self._registry = ConnectionRegistry(partial(self._in_live_thread, self._find_revoked))
        operations = Operations(
            app,
            schema,
            self._feed.hub,
            self._registry,
            in_request_thread=run_in(self._bridge.threads),
            in_live_thread=self._in_live_thread,
        )
        self._protocols = GraphQLProtocols(
            operations,
            self._policy,
            self._registry,
            self._in_live_thread,
            self._cors,
        )
        self._event_streams = EventStreams(operations, self._cors)
        feed = (self._feed.hub, self._policy, self._registry)
        self._change_streams = ChangeStreams(*feed, self._cors)
        self._change_waits = ChangeWaits(
            *feed,
            in_thread=self._in_live_thread,
            trusted_proxies=self._settings.trusted_proxies,
        )
        self._rejections = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._run_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await self._serve_websocket(scope, receive, send)
        elif scope["path"] == SSE_PATH:
            await self._serve_event_stream(self._event_streams, scope, receive, send)
        elif scope["method"] in READS and path_of(scope) == CHANGES_PATH:
            await self._serve_changes(scope, receive, send)
        else:
            await self._bridge(scope, receive, send)

    def read_head(self, scope: Scope) -> RequestHead | None:
        """Return the head of a plain read, which ``respond`` responds to; None of any other."""
        return self._bridge.read_head(scope)

    async def respond(self, head: RequestHead) -> BufferedResponse:
        """Return the whole response to a plain read, for a server that sends it by itself."""
        return await self._bridge.respond(head)

    def shut_down(self) -> None:
        """Close live connections, and send ``Connection: close`` with every response.

        Exports end a while later.
        """
        self._snapshots.shut_down()
        self._registry.shut_down()
        self._change_waits.release()
        self._bridge.shutting_down = True

    async def _run_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()  # lifespan.startup
        self._feed.start()
        watch = asyncio.create_task(self._registry.watch())
        await send({"type": "lifespan.startup.complete"})
        await receive()  # lifespan.shutdown
        watch.cancel()
        await self._feed.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._bridge.drained(), DRAIN_SECONDS)
        await self._bridge.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _find_revoked(self, in_use: set[str]) -> set[str]:
        return {text for text in in_use if self._policy.identify(text, "").key is None}

    async def _serve_websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = self._connection(scope, receive, send)
        if scope["path"] != WEBSOCKET_PATH or self._rejections >= MAX_REJECTIONS:
            log_connection(connection, "refused")
            await send({"type": "websocket.close"})  # before the handshake: the server sends a 403
            return
        with count_connection(connection):
            try:
                with self._registry.register(connection):
                    await connection.serve(self._protocols)
            except OverCapacity as error:
                await self._reject(connection, error)

    async def _reject(self, connection: ClientConnection, error: OverCapacity) -> None:
        self._rejections += 1
        try:
            await connection.reject(error.close_code, error.detail)
        finally:
            self._rejections -= 1

    async def _serve_changes(self, scope: Scope, receive: Receive, send: Send) -> None:
        accept = environ_of(scope).get("HTTP_ACCEPT", "")
        media_type = negotiate(accept, EVENT_STREAM, JSON)
        if media_type == EVENT_STREAM:
            await self._serve_event_stream(self._change_streams, scope, receive, send)
            return
        if media_type == JSON:
            scope = await self._change_waits.hold(scope, receive)
        await self._bridge(scope, receive, send)

    async def _serve_event_stream(
        self, streams: EventStreams | ChangeStreams, scope: Scope, receive: Receive, send: Send
    ) -> None:
        connection = self._connection(scope, receive, send)
        with count_connection(connection):
            try:
                if self._cors.is_preflight(connection.environ):
                    connection.close_reason = "preflight"
                    await self._event_streams.send_preflight(connection)
                    return
                await self._in_live_thread(self._admit, connection)
                streams.check(connection)
                async with self._bridge.bodies.replay(scope, receive) as replay:
                    connection.receive_from(replay)
                    with self._registry.register(connection):
                        await connection.serve(streams)
            except ApiError as error:
                connection.close_reason = "rejected"
                await streams.send_problem(error, connection)
            except Exception:
                extra = {"request_id": connection.request_id}
                log.exception("error in an event stream", extra=extra)
                connection.close_reason = "error"
                if connection.status is None:
                    await streams.send_problem(InternalError(), connection)

    def _connection(self, scope: Scope, receive: Receive, send: Send) -> ClientConnection:
        environ = environ_of(scope)
        request_id = assign_request_id(environ)
        address = sent_address(environ, self._settings.trusted_proxies)
        return ClientConnection(scope, receive, send, request_id=request_id, address=address)

    def _admit(self, connection: ClientConnection) -> None:
        """Count and check the client, as the request guard does for every other request."""
        policy = self._policy
        client = policy.identify(connection.authorization, connection.address)
        connection.client = client
        policy.count_read(client, connection.set_rate_limit_headers)
        policy.require_key(client)
        if not self._protocols.is_allowed_origin(connection):
            raise ForbiddenOrigin("This origin is not in ALLOWED_ORIGINS.")
