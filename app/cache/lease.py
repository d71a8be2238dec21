"""The right of a process to use the cache, and what it must do first: deliver the outbox.

A lease lasts LEASE_SECONDS from a look at which Redis answered and the outbox held nothing
undelivered. So a write whose invalidation did not reach Redis is seen by all within that time,
whatever became of its writer.

An outage of Redis that all processes share, and that outlasts a lease, shows nothing old. A
writer that finds Redis away, or does not ask because its breaker is open, marks its row as held
before it answers; it asks again within a breaker's period. Whoever sees a held row delivers it,
and stays away from the cache until that period is over: by then every writer speaks to Redis
again.
"""

import time
from threading import Lock

from sqlalchemy import Engine

from app.cache import outbox
from app.cache.backend import CacheAway, RedisCache
from app.redis.circuit_breaker import OPEN_SECONDS
from app.redis.client import TIMEOUT_SECONDS

LEASE_SECONDS = 0.5
"""For so long at most can an answer be stale whose invalidation only its writer could not tell."""
WAIT_SECONDS = 1.0
"""So long a thread waits for the look of another; only a hanging database takes longer."""
HOLD_SECONDS = OPEN_SECONDS + 3 * TIMEOUT_SECONDS
"""Longer than a writer's breaker stays open, with its last time-out and our look."""


class Lease:
    """One process's lease, shared by its threads."""

    def __init__(self, redis: RedisCache, engine: Engine) -> None:
        self._redis = redis
        self._engine = engine
        self._until = 0.0
        self._refused_until = 0.0
        self._revocations = 0
        self._failures = 0
        self._held_since: dict[int, float] = {}
        self._lock = Lock()

    def hold(self) -> None:
        """Return while the lease is good; renew it where it is not, or raise CacheAway.

        One thread looks for all. Who would wait for it too long, or has seen it fail, goes to
        the database at once.
        """
        if time.monotonic() < self._until:
            return
        failures = self._failures
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise CacheAway("busy")
        try:
            if failures != self._failures:
                raise CacheAway("away")
            if time.monotonic() >= self._until:
                self._renew()
        finally:
            self._lock.release()

    def revoke(self) -> None:
        """End the lease now: Redis was out of reach, and anything may have been missed."""
        self._revocations += 1
        self._until = 0.0

    def _renew(self) -> None:
        before, began = self._revocations, time.monotonic()
        if began < self._refused_until:
            raise CacheAway("recovering")
        try:
            self._redis.prove()
            self._deliver_all(began)
        except Exception:
            self._failures += 1
            raise
        if self._held_since:
            self._refused_until = max(self._held_since.values()) + HOLD_SECONDS
            raise CacheAway("recovering")
        if self._revocations == before:
            self._until = began + LEASE_SECONDS

    def _deliver_all(self, now: float) -> None:
        """Deliver every row; remove all but those that are held and were not seen long ago."""
        seen, self._held_since = self._held_since, {}
        for batch in outbox.undelivered(self._engine):
            self._redis.forget(tag for row in batch for tag in row.tags)
            young = {row.id: seen.get(row.id, now) for row in batch if row.held}
            young = {row: since for row, since in young.items() if now < since + HOLD_SECONDS}
            self._held_since |= young
            outbox.remove(self._engine, [row.id for row in batch if row.id not in young])
