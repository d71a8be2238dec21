"""Read-through: serve a fresh response from Redis, else call the view once for all who wait.

Three parts keep a stale response from being served after a write was acknowledged: the tag
versions (response_cache.py), the outbox (outbox.py) and the lease (lease.py).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app import extensions
from app.cache import outbox
from app.cache.lease import CacheLease
from app.cache.response_cache import ResponseCache
from app.config import Settings
from app.http.response import OK, BufferedResponse
from app.redis.client import Command, RedisClient, RedisUnavailable
from app.single_flight import SingleFlight

ResponseAndStatus = tuple[BufferedResponse, str]
"""A response, and the parameters of its Cache-Status header."""
CallView = Callable[[], BufferedResponse]


class ReadThrough:
    """The response cache as one process uses it."""

    def __init__(self, responses: ResponseCache, engine: Engine) -> None:
        self.responses = responses
        self._engine = engine
        self._lease = CacheLease(responses, engine)
        self._single_flight = SingleFlight()
        responses.client.on_lost = self._lease.revoke

    def read(self, key: str, tags: Sequence[str], call_view: CallView) -> ResponseAndStatus:
        """Return the response of ``key``; call ``call_view`` if the cache has none."""
        if not self.responses.breaker.allow_request():
            return call_view(), "fwd=bypass; detail=redis-unavailable"
        try:
            self._lease.ensure()
            versions, found = self.responses.get(key, tags)
        except RedisUnavailable as reason:
            return call_view(), f"fwd=bypass; detail=redis-{reason}"
        except SQLAlchemyError:
            return call_view(), "fwd=bypass; detail=outbox-unavailable"
        if found is not None:
            return found, "hit"
        if versions is None:
            return call_view(), "fwd=miss; detail=redis-full"
        return self._call_view_once(key, tags, versions, call_view)

    def _call_view_once(
        self, key: str, tags: Sequence[str], versions: bytes, call_view: CallView
    ) -> ResponseAndStatus:
        # The versions are part of the key: a reader joins a running query only if no write was
        # acknowledged between the start of that query and its own start.
        (response, status), joined = self._single_flight.do(
            (key, versions), lambda: self._fill(key, tags, versions, call_view)
        )
        if not joined:
            return response, status
        if response.status != OK:  # an error contains the id of the request that it belongs to
            return call_view(), "fwd=miss"
        return response, "fwd=miss; collapsed"

    def _fill(
        self, key: str, tags: Sequence[str], versions: bytes, call_view: CallView
    ) -> ResponseAndStatus:
        # Another thread may have stored the response since our lookup.
        with suppress(RedisUnavailable):
            current, found = self.responses.get(key, tags)
            if found is not None and current == versions:
                return found, "hit"
        response = call_view()
        if response.status != OK:
            return response, "fwd=miss"
        try:
            stored = self.responses.set(key, versions, response)
        except RedisUnavailable as reason:
            return response, f"fwd=miss; detail=redis-{reason}"
        return response, "fwd=miss; stored" if stored else "fwd=miss; detail=redis-full"

    def check(self) -> None:
        """Raise RedisUnavailable unless the cache can be used now."""
        if not self.responses.breaker.allow_request():
            raise RedisUnavailable("unavailable")
        self._lease.ensure()
        self.responses.client.verify_master()

    def deliver(self, row_id: int, tags: Sequence[str], also: Sequence[Command] = ()) -> None:
        """Invalidate ``tags`` and remove the outbox row; if Redis fails, mark the row and raise.

        The commands ``also`` are sent in the same round trip; Redis may refuse them.
        """
        try:
            self.responses.invalidate(tags, also)
        except RedisUnavailable:
            outbox.mark_unreachable(self._engine, row_id)
            raise
        outbox.remove(self._engine, [row_id])


def make_cache(
    app: Flask, settings: Settings, client: RedisClient | None, engine: Engine
) -> ReadThrough | None:
    """Configure Flask-Caching; return the response cache, or None without Redis."""
    config = (
        {"CACHE_TYPE": "app.cache.backend.RedisCache", "CACHE_OPTIONS": {"client": client}}
        if client
        else {"CACHE_TYPE": "NullCache", "CACHE_NO_NULL_WARNING": True}
    )
    extensions.cache.init_app(app, {**config, "CACHE_DEFAULT_TIMEOUT": settings.cache_ttl})
    return ReadThrough(ResponseCache(client, settings.cache_ttl), engine) if client else None
