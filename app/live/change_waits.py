"""Requests for a page of the change feed that wait for it: the event loop holds them.

A request is only delayed. Flask responds to it, as to every other one, when there is an event, its
time is over or the process ends; and at once to what it rejects.
"""

import asyncio
from contextlib import suppress
from functools import partial
from urllib.parse import urlencode

from sqlalchemy.exc import SQLAlchemyError
from starlette.types import Receive, Scope

from app.api.validation import query_loader
from app.auth.client_address import normalize_address, sent_address
from app.auth.policy import AccessPolicy
from app.changes.pages import NOW
from app.changes.routes import ChangesQuery
from app.errors import ApiError
from app.events import log as events
from app.events.log import Cursor
from app.http.request import environ_of, read_query
from app.live.hub import Hub, RunInThread
from app.live.metrics import CLOSED, OPEN_CONNECTIONS
from app.live.registry import ConnectionRegistry
from app.live.request_bodies import declared_length
from app.live.response_streams import until_disconnected

load_query = query_loader(ChangesQuery)


class ChangeWaits:
    """Delays requests; a waiting one counts as a connection of its client."""

    def __init__(
        self,
        hub: Hub,
        policy: AccessPolicy,
        registry: ConnectionRegistry,
        *,
        trusted_proxies: int,
        in_thread: RunInThread,
    ) -> None:
        self._hub = hub
        self._registry = registry
        self._trusted_proxies = trusted_proxies
        self._identify = partial(in_thread, policy.identify)
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let nothing wait any longer: the process ends."""
        self._released.set()

    async def hold(self, scope: Scope, receive: Receive) -> Scope:
        """Wait as a request asks for; return its scope, with a cursor in the place of ``now``."""
        with suppress(ApiError, SQLAlchemyError):  # then Flask finds the same
            query = load_query(scope["query_string"])
            if "wait" not in query or declared_length(scope):
                return scope
            environ = environ_of(scope)
            address = normalize_address(sent_address(environ, self._trusted_proxies))
            client = await self._identify(environ.get("HTTP_AUTHORIZATION"), address)
            if client.invalid_key:
                return scope
            with self._registry.connections.hold(client.name):
                cursor = await self._locate(query.get("after"))
                if query.get("after") == NOW:
                    scope = _with_cursor(scope, cursor)
                # Counted only now: whoever sees it waiting knows that the next event ends it.
                with OPEN_CONNECTIONS.labels("wait").track_inprogress():
                    await self._wait(query.get("type"), cursor, query["wait"], receive)
        return scope

    async def _locate(self, after: str | None) -> Cursor:
        if after is None:
            after = await self._hub.find_beginning()
        return await self._hub.locate(None if after == NOW else after)

    async def _wait(
        self, types: frozenset[str] | None, cursor: Cursor, seconds: float, receive: Receive
    ) -> None:
        ends = {
            asyncio.ensure_future(self._hub.wait(types, cursor)): "event",
            asyncio.ensure_future(self._released.wait()): "shutdown",
            asyncio.ensure_future(until_disconnected(receive)): "disconnected",
        }
        reason = "timeout"
        try:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            reason = next((reason for end, reason in ends.items() if end.done()), reason)
        finally:
            CLOSED.labels("wait", reason).inc()
            for end in ends:
                end.cancel()
            await asyncio.gather(*ends, return_exceptions=True)


def _with_cursor(scope: Scope, cursor: Cursor) -> Scope:
    query = {**read_query(scope["query_string"]), "after": events.format_cursor(*cursor)}
    return {**scope, "query_string": urlencode(query).encode()}
