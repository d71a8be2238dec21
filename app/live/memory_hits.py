"""Cache hits on the event loop: responses from the memory of the process, without a thread.

Whatever is not a plain read of a response in memory that is certainly current, by a client that
has certainly not used up its quota, is left to the middleware, which decides everything by itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

from flask import Flask

from app.api.views import Route
from app.auth.policy import Client
from app.cache.local_cache import LocalCache
from app.cache.memory import MIB, MemoryEntry, ResponseMemory
from app.cache.read_through import ReadThrough
from app.cache.response_cache import CachedResponse, tag_keys
from app.http.accept import accepts_json
from app.http.instrumentation import MEMORY_HIT
from app.http.request import environ_of
from app.http.response import BufferedResponse, Environ, apply_if_none_match
from app.http.route_options import options_of
from app.middleware import HttpMiddleware
from app.ratelimit.limiter import Limiter
from app.redis.batched_client import BatchedClient, Call
from app.redis.client import RedisUnavailable, full_key
from app.services import services_of

UNUSUAL_HEADERS = frozenset(
    {
        "CONTENT_LENGTH",
        "HTTP_AUTHORIZATION",
        "HTTP_EXPECT",
        "HTTP_RANGE",
        "HTTP_TRANSFER_ENCODING",
        "HTTP_UPGRADE",
    }
)
"""What makes a request one for the middleware."""
log = logging.getLogger(__name__)


class CurrentResponses(Protocol):
    """Finds responses in the memory of this process."""

    async def find(self, key: str, client: Client) -> MemoryEntry[Any] | None:
        """Return a response that is current at a moment after the call; None if there is none."""

    async def close(self) -> None: ...


class LocalResponses:
    """Responses of SQLite without Redis."""

    def __init__(self, cache: LocalCache) -> None:
        self._cache = cache

    async def find(self, key: str, _: Client) -> MemoryEntry[Any] | None:
        return self._cache.find(key)

    async def close(self) -> None:
        pass


class RedisResponses:
    """Responses from Redis, kept in memory; Redis is only asked for the versions of their tags.

    The lease of the process has to be valid, and its tags must have the same versions at a moment
    after the request: for the same reasons as in app/cache/read_through.py the response is current.
    """

    def __init__(
        self,
        memory: ResponseMemory[CachedResponse],
        cache: ReadThrough,
        limiter: Limiter | None,
        renew_in_thread: Callable[[], Awaitable[Any]],
    ) -> None:
        self._memory = memory
        self._lease = cache.lease
        self._responses = cache.responses
        self._redis = BatchedClient(cache.responses.client)
        self._limiter = limiter
        self._renew_in_thread = renew_in_thread
        self._renewal: asyncio.Future[Any] | None = None

    async def find(self, key: str, client: Client) -> MemoryEntry[Any] | None:
        entry = self._memory.get(key)
        if entry is None or not self._may_use(entry.validity.run_id):
            return None
        cached = entry.validity
        try:
            current = await self._recheck(cached, self._lease_calls(client))
        except RedisUnavailable:
            return None
        if not self._may_use(cached.run_id):
            return None
        if current is None:
            self._memory.discard(key, entry)
            return None
        entry.validity = current
        return entry

    async def close(self) -> None:
        await self._redis.close()

    async def _recheck(
        self, cached: CachedResponse, calls: Mapping[str, Call]
    ) -> CachedResponse | None:
        values = await self._ask(cached.run_id, cached.guard_tags, calls)
        current = cached.recheck(values)
        if current is None and cached.fine_tags:
            # Without a version of each guard, every hit would have to read the fine tags.
            missing = [key for key in tag_keys(cached.guard_tags) if values[key] is None]
            creations = {key: self._creation(cached.run_id, key) for key in missing}
            tags = (*cached.guard_tags, *cached.fine_tags)
            current = cached.recheck(await self._ask(cached.run_id, tags, creations))
        return current

    async def _ask(
        self, run_id: str, tags: tuple[str, ...], calls: Mapping[str, Call]
    ) -> Mapping[str, bytes | None]:
        values = await self._redis.get(tag_keys(tags), calls)
        if values.run_id != run_id:
            self._redis.reconnect()
            raise RedisUnavailable("reconnecting")
        return values.by_key

    def _creation(self, run_id: str, key: str) -> Call:
        return Call(self._responses.creation(full_key(run_id, key)), lambda _: None)

    def _lease_calls(self, client: Client) -> Mapping[str, Call]:
        """Return the call that takes tokens for a client that has none here."""
        request = self._limiter.request_lease(client.name) if self._limiter else None
        if request is None or self._limiter is None:
            return {}
        return {client.name: Call(request.command, partial(self._limiter.accept_lease, request))}

    def _may_use(self, run_id: str) -> bool:
        """Return whether the lease is valid for this run of Redis; renew it before it ends."""
        if self._lease.run_id() != run_id:
            return False
        if self._lease.is_half_over() and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.ensure_future(self._renew_in_thread())
        return True


class MemoryHits:
    """Answers on the event loop in the place of ``middleware`` where it would answer the same."""

    def __init__(self, middleware: HttpMiddleware, responses: CurrentResponses | None) -> None:
        self._middleware = middleware
        self._responses = responses

    def read(self, scope: Mapping[str, Any]) -> "RequestHead | None":
        """Return what the head of a request says; None if it is not that of a plain read."""
        environ = environ_of(scope)
        if not _is_plain(environ):
            return None
        route = self._middleware.views.match(environ)
        options = options_of(route.view)
        if not options.cache_tags or options.response is None:  # Flask needs more than the head
            return None
        client = self._middleware.guard.address_client(environ)
        return RequestHead(environ, self._middleware.cache_key(environ), client, route)

    async def respond(self, head: "RequestHead") -> BufferedResponse | None:
        """Return the response in memory; None if the middleware has to respond."""
        try:
            return await self._respond(head)
        except Exception:
            log.exception("error while a response in memory was looked for")
            return None

    async def close(self) -> None:
        """Close what the responses hold open."""
        if self._responses is not None:
            await self._responses.close()

    async def _respond(self, head: "RequestHead") -> BufferedResponse | None:
        if self._responses is None:
            return None
        environ = head.environ.copy()
        request = self._middleware.begin(environ)
        entry = await self._responses.find(head.key, head.client)
        if entry is None or not self._middleware.guard.try_admit(environ, head.client):
            return None
        self._middleware.check_sometimes(entry, environ, head.route)
        response = apply_if_none_match(entry.response, environ)
        return self._middleware.finish(request, entry.route, response, MEMORY_HIT)


class RequestHead(NamedTuple):
    """What the head of a plain read says; requests with the same head can share it.

    A plain read has no body and no API key, and its response may be cached.
    """

    environ: Environ
    key: str
    client: Client
    route: Route


def _is_plain(environ: Environ) -> bool:
    path: str = environ["PATH_INFO"]
    return (
        path.startswith("/")
        and environ["QUERY_STRING"].isascii()
        and UNUSUAL_HEADERS.isdisjoint(environ)
        and accepts_json(environ.get("HTTP_ACCEPT", ""))
    )


def make_memory_hits(app: Flask, in_thread: Callable[..., Awaitable[Any]]) -> MemoryHits:
    """Return what answers hits of ``app``: nothing, if it keeps no responses in memory."""
    services, middleware = services_of(app), cast(HttpMiddleware, app.wsgi_app)
    if services.local_cache is not None:
        return MemoryHits(middleware, LocalResponses(services.local_cache))
    cache, mib = services.cache, services.settings.cache_memory_mib
    if cache is None or not mib:
        return MemoryHits(middleware, None)
    memory = middleware.memory = ResponseMemory[CachedResponse](mib * MIB)
    services.worker_gauges.watch_memory(memory)
    limiter, renew = services.rate_limits.read, partial(in_thread, cache.lease.renew_early)
    return MemoryHits(middleware, RedisResponses(memory, cache, limiter, renew))
