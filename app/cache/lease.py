"""The lease: a process may use the cache only for a moment after it has emptied the outbox.

A lease lasts LEASE_SECONDS from a check in which Redis responded and the outbox contained no
undelivered row. So an invalidation that its writer could not deliver takes effect everywhere
within that time, even if the writer has died.

During an outage that all processes share, and that lasts longer than a lease, nothing stale is
served. A writer that cannot reach Redis, or skips it because its breaker is open, marks its
outbox row as unreachable before it responds; it tries Redis again when the breaker's period is
over. A process that finds a marked row delivers it, and does not use the cache until that period
has passed: by then every writer reaches Redis again.
"""

import time
from contextlib import suppress
from threading import Lock

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.cache import outbox
from app.cache.response_cache import ResponseCache
from app.cache.runs import CacheRuns, RunReplaced
from app.redis.circuit_breaker import OPEN_SECONDS
from app.redis.client import TIMEOUT_SECONDS, RedisUnavailable
from app.redis.sentinel import SEARCH_SECONDS

LEASE_SECONDS = 0.5
"""The longest time a response can be stale if only its writer cannot reach Redis."""
GRACE_SECONDS = 5.0
"""How long a lookup that began with a lease may take beyond its end."""
WAIT_SECONDS = 1.0
"""How long a thread waits for another one's check; only a hanging database takes longer."""
UNREACHABLE_SECONDS = OPEN_SECONDS + SEARCH_SECONDS + 6 * TIMEOUT_SECONDS
"""Longer than a writer's breaker stays open, plus its last attempt and our check. An attempt may
search for the master, whose last Sentinel has two timeouts, and connect to it."""


class CacheLease:
    """The lease of one process, shared by its threads."""

    def __init__(self, responses: ResponseCache, engine: Engine, runs: CacheRuns) -> None:
        self._responses = responses
        self._engine = engine
        self._runs = runs
        self._until = 0.0
        self._verified_run_id = ""
        self._refused_until = 0.0
        self._refusal = ""
        self._revocations = 0
        self._failures = 0
        self._unreachable_since: dict[int, float] = {}
        self._lock = Lock()

    def ensure(self) -> None:
        """Return with a valid lease; renew it if necessary, or raise RedisUnavailable.

        One thread checks for all. A thread that waits too long for it, or sees it fail, does
        not check again: its request goes to the database.
        """
        if time.monotonic() < self._until:
            return
        failures = self._failures
        if not self._lock.acquire(timeout=WAIT_SECONDS):
            raise RedisUnavailable("busy")
        try:
            if failures != self._failures:
                raise RedisUnavailable("unavailable")
            if time.monotonic() >= self._until:
                self._renew()
        finally:
            self._lock.release()

    def run_id(self) -> str | None:
        """Return the run of Redis that may be used now; None if ``ensure`` has to decide."""
        return self._verified_run_id if time.monotonic() < self._until else None

    def covered(self, run_id: str) -> bool:
        """Return whether a lookup in this run of Redis that has just ended had the lease."""
        until = self._until + GRACE_SECONDS if self._until else 0.0
        return run_id == self._verified_run_id and time.monotonic() < until

    def is_half_over(self) -> bool:
        return time.monotonic() > self._until - LEASE_SECONDS / 2

    def renew_early(self) -> None:
        """Renew the lease before it ends, unless another thread does."""
        if self._lock.acquire(blocking=False):
            try:
                with suppress(RedisUnavailable, SQLAlchemyError):
                    self._renew()
            finally:
                self._lock.release()

    def revoke(self) -> None:
        """End the lease now: Redis was out of reach, so invalidations may have been missed."""
        self._revocations += 1
        self._until = 0.0

    def _renew(self) -> None:
        before, began = self._revocations, time.monotonic()
        if began < self._refused_until:
            raise RedisUnavailable(self._refusal)
        try:
            run_id = self._responses.client.verify_master()
            if run_id != self._verified_run_id:
                self._runs.confirm(run_id)  # if it is new, no row can be removed before
            self._deliver_all(run_id, began)
            # After the outbox was read: a row that was removed before that was delivered to this
            # run, or is older than all entries of this run.
            self._runs.confirm(run_id)
            self._runs.record_use(run_id)
        except RunReplaced:
            self._refuse_until(began + LEASE_SECONDS, "replaced")
            self._failures += 1
            raise
        except Exception:
            self._failures += 1
            raise
        if self._unreachable_since:
            until = max(self._unreachable_since.values()) + UNREACHABLE_SECONDS
            self._refuse_until(until, "recovering")
            raise RedisUnavailable(self._refusal)
        if self._revocations == before:  # Redis was in reach all the time
            self._verified_run_id = run_id
            self._until = began + LEASE_SECONDS

    def _refuse_until(self, until: float, reason: str) -> None:
        self._until = 0.0
        self._refused_until, self._refusal = until, reason

    def _deliver_all(self, run_id: str, now: float) -> None:
        """Deliver every row, and remove it unless other processes must still see its mark."""
        seen, self._unreachable_since = self._unreachable_since, {}
        for batch in outbox.undelivered(self._engine):
            if self._responses.invalidate(tag for row in batch for tag in row.tags) != run_id:
                raise RedisUnavailable("reconnecting")
            marked = {row.id: seen.get(row.id, now) for row in batch if row.unreachable}
            recent = {id_: at for id_, at in marked.items() if now < at + UNREACHABLE_SECONDS}
            self._unreachable_since |= recent
            delivered = [row.id for row in batch if row.id not in recent]
            outbox.remove(self._engine, delivered, run_id)
