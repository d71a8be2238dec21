"""Read-through: serve a fresh response from Redis, else call the view once for all who wait.

Three parts keep a stale response from being served after a write was acknowledged: the tag
versions (response_cache.py), the outbox (outbox.py) and the lease (lease.py).
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import NamedTuple

from flask import Flask
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app import extensions
from app.cache import outbox
from app.cache.lease import CacheLease
from app.cache.response_cache import CachedResponse, ResponseCache, Versions
from app.cache.runs import CacheRuns, RunReplaced
from app.cache.wal_position import WalPosition
from app.config import Settings
from app.db.replica import Replica
from app.http.response import OK, BufferedResponse
from app.redis.client import RedisClient, RedisUnavailable
from app.single_flight import SingleFlight

CallView = Callable[[], tuple[BufferedResponse, Sequence[str]]]
"""Calls the view; returns its response and the fine tags, none if it has declared none."""


class Answer(NamedTuple):
    """A response, and the parameters of its Cache-Status header."""

    response: BufferedResponse
    status: str
    cached: CachedResponse | None = None
    """What Redis had; None unless it was a hit."""


class ReadThrough:
    """The response cache as one process uses it."""

    def __init__(
        self, responses: ResponseCache, engine: Engine, replica: Replica | None = None
    ) -> None:
        self.responses = responses
        self._engine = engine
        self._runs = CacheRuns(responses, engine)
        self.lease = CacheLease(responses, engine, self._runs)
        self._single_flight = SingleFlight()
        self.replica = replica
        self._may_read_from_replica: Callable[[], AbstractContextManager[None]] = nullcontext
        if replica is not None:
            position = WalPosition(responses, self.lease, engine)
            self._may_read_from_replica = partial(replica.may_serve, position.find)
        responses.client.on_lost = self.lease.revoke

    def read(self, key: str, tags: Sequence[str], call_view: CallView) -> Answer:
        """Return the response of ``key``; call ``call_view`` if the cache has none."""
        if not self.responses.breaker.allow_request():
            return Answer(call_view()[0], "fwd=bypass; detail=redis-unavailable")
        try:
            self.lease.ensure()
            versions, found = self._look_up(key, tags)
        except RedisUnavailable as reason:
            return Answer(call_view()[0], f"fwd=bypass; detail=redis-{reason}")
        except SQLAlchemyError:
            return Answer(call_view()[0], "fwd=bypass; detail=outbox-unavailable")
        if found is not None:
            return Answer(found.response, "hit", found)
        if versions is None:
            return Answer(call_view()[0], "fwd=miss; detail=redis-full")
        return self._call_view_once(key, tags, versions, call_view)

    def _call_view_once(
        self, key: str, tags: Sequence[str], versions: bytes, call_view: CallView
    ) -> Answer:
        # The versions are part of the key: a reader joins a running query only if no write was
        # acknowledged between the start of that query and its own start.
        answer, joined = self._single_flight.do(
            (key, versions), lambda: self._fill(key, tags, versions, call_view)
        )
        if not joined:
            return answer
        if not is_shareable(answer.response):
            return Answer(call_view()[0], "fwd=miss")
        return Answer(answer.response, "fwd=miss; collapsed")

    def _fill(self, key: str, tags: Sequence[str], versions: bytes, call_view: CallView) -> Answer:
        # Another thread may have stored the response since our lookup. A reader that joins has
        # read the same versions: before the lookup here, or since no guard has changed.
        with suppress(RedisUnavailable):
            _, found = self._look_up(key, tags)
            if found is not None:
                return Answer(found.response, "hit", found)
        with self._may_read_from_replica():
            response, fine_tags = call_view()
        if response.status != OK:
            return Answer(response, "fwd=miss")
        try:
            outcome = self.responses.set(key, tags, versions, response, fine_tags)
        except RedisUnavailable as reason:
            outcome = f"detail=redis-{reason}"
        return Answer(response, f"fwd=miss; {outcome}")

    def _look_up(self, key: str, tags: Sequence[str]) -> tuple[Versions, CachedResponse | None]:
        """Do as ``responses.get`` in the run of Redis that the lease is for.

        The connection of this thread may be to another one.
        """
        client = self.responses.client
        connection = client.connection()
        found = self.responses.get(key, tags)
        if client.connection() is not connection or not self.lease.covered(connection.run_id):
            client.close()
            raise RedisUnavailable("reconnecting")
        return found

    def check(self) -> None:
        """Raise RedisUnavailable unless the cache can be used now."""
        if not self.responses.breaker.allow_request():
            raise RedisUnavailable("unavailable")
        self.lease.ensure()
        self._runs.confirm(self.responses.client.verify_master())

    def deliver(self, row_id: int, tags: Sequence[str]) -> None:
        """Invalidate ``tags`` and remove the outbox row; if Redis fails, mark the row and raise.

        If this Redis was replaced and no other one is found, the row stays as it is: the other
        processes can reach theirs.
        """
        try:
            run_id = self.responses.invalidate(tags)
            if not outbox.remove(self._engine, [row_id], run_id):
                # Perhaps another process was faster. If not, the run is new, or was replaced.
                self._deliver_to_used_run(row_id, tags, run_id)
        except RunReplaced:
            raise
        except RedisUnavailable:
            outbox.mark_unreachable(self._engine, row_id)
            raise

    def _deliver_to_used_run(self, row_id: int, tags: Sequence[str], run_id: str) -> None:
        try:
            self._runs.confirm(run_id)
        except RunReplaced:  # the connection is a new one now
            run_id = self.responses.invalidate(tags)
            self._runs.confirm(run_id)
        outbox.remove(self._engine, [row_id], run_id)


def is_shareable(response: BufferedResponse) -> bool:
    """Return whether a request may get the response to another one.

    An error contains the id of its own request. And the response may be about a moment that was
    over before this request came.
    """
    return response.status == OK and time.monotonic() < response.expires_at


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
    if client is None:
        return None
    replica = Replica(settings.database_read_url) if settings.database_read_url else None
    return ReadThrough(ResponseCache(client, settings.cache_ttl), engine, replica)
