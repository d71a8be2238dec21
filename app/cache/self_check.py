"""The self-check of the cache: one hit in a thousand is made again from the database.

It runs after the response was sent, in a thread of its own, and drops hits while that is busy. A
difference is a defect only if the hit could still be served after the query: then no write came
between its response and that query. With Redis a write is committed before it invalidates, so a
row of it in the outbox may explain the difference. So the outbox is read after the query; then
Redis has to be the one that all processes use; and then the versions of the tags are read.
"""

import logging
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from random import random
from threading import BoundedSemaphore
from typing import Any, Protocol

from prometheus_client import Counter
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from app.cache import outbox
from app.cache.local_cache import LocalCache
from app.cache.memory import MemoryEntry
from app.cache.read_through import ReadThrough
from app.cache.response_cache import CachedResponse, tag_keys
from app.http.response import OK, BufferedResponse
from app.redis.client import RedisUnavailable, full_key

PART = 0.001
"""The part of the hits that is checked."""
MAX_WAITING = 2
"""Hits that are checked or wait for that; further ones are dropped."""
COMPARED_HEADERS = ("Content-Encoding", "ETag", "Link")
CHECKED = Counter("bookstall_cache_checked_total", "Hits that were compared with the database")
STALE = Counter("bookstall_cache_stale_total", "Hits that differed from the database: a defect")
log = logging.getLogger(__name__)


class Validity(Protocol):
    """Tells whether a response that was a hit could be one again."""

    def is_current(self, entry: MemoryEntry[Any]) -> bool:
        """Return whether ``entry`` is valid at a moment after the call."""

    def is_settled(self, entry: MemoryEntry[Any]) -> bool:
        """Return whether each committed write has invalidated ``entry`` if it is to do so."""

    def close(self) -> None:
        """Close what a check has opened."""


class LocalValidity:
    """That of a response of SQLite without Redis: a commit and its invalidation are one."""

    def __init__(self, cache: LocalCache) -> None:
        self._cache = cache

    def is_current(self, entry: MemoryEntry[int]) -> bool:
        return self._cache.is_current(entry)

    def is_settled(self, _: MemoryEntry[int]) -> bool:
        return True

    def close(self) -> None:
        pass


class RedisValidity:
    """That of a response with versions of tags in Redis."""

    def __init__(self, cache: ReadThrough, engine: Engine) -> None:
        self._cache = cache
        self._engine = engine

    def is_current(self, entry: MemoryEntry[CachedResponse]) -> bool:
        cached, client = entry.validity, self._cache.responses.client
        if not client.breaker.closed:
            return False
        connection = client.connection()
        keys = tag_keys((*cached.guard_tags, *cached.fine_tags))
        command = ("MGET", *(full_key(connection.run_id, key) for key in keys))
        values = client.execute(connection, command)
        is_same_run = connection.run_id == cached.run_id
        return is_same_run and cached.recheck(dict(zip(keys, values, strict=True))) is not None

    def is_settled(self, entry: MemoryEntry[CachedResponse]) -> bool:
        tags = frozenset(entry.tags)
        batches = outbox.undelivered(self._engine)
        if not all(tags.isdisjoint(row.tags) for batch in batches for row in batch):
            return False
        # A row is removed when it has reached the Redis that all processes use.
        self._cache.check()
        return True

    def close(self) -> None:
        # Not kept: if it were lost while it is idle, the lease of the process would end.
        self._cache.responses.client.close()


class SelfCheck:
    """Checks some of the hits of one process.

    ``has_room`` returns whether the database has a connection that no request needs.
    """

    def __init__(self, validity: Validity, has_room: Callable[[], bool]) -> None:
        self._validity = validity
        self._has_room = has_room
        self._slots = BoundedSemaphore(MAX_WAITING)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="self-check")

    def is_due(self) -> bool:
        """Return whether this hit is one of those to check."""
        return random() < PART  # noqa: S311 - nobody gains by guessing it

    def check_later(
        self,
        entry: MemoryEntry[Any],
        respond: Callable[[], BufferedResponse],
        request_id: str,
    ) -> None:
        """Compare ``entry`` with what ``respond`` returns from the database; never wait."""
        if not (self._has_room() and self._slots.acquire(blocking=False)):
            return
        try:
            self._thread.submit(self._check, entry, respond, request_id)
        except RuntimeError:  # the process ends
            self._slots.release()

    def _check(
        self,
        entry: MemoryEntry[Any],
        respond: Callable[[], BufferedResponse],
        request_id: str,
    ) -> None:
        try:
            is_equal = self._compare(entry, respond)
        except (RedisUnavailable, SQLAlchemyError, sqlite3.Error):
            return  # nothing can be said now
        except Exception:
            log.exception("the self-check of the cache failed")
            return
        finally:
            self._validity.close()
            self._slots.release()
        if is_equal is None:
            return
        if not is_equal:
            STALE.inc()
            extra = {"request_id": request_id, "route": entry.route}
            log.error("a cached response differs from the database", extra=extra)
        CHECKED.inc()  # last: whoever sees this comparison counted sees its result too

    def _compare(
        self, entry: MemoryEntry[Any], respond: Callable[[], BufferedResponse]
    ) -> bool | None:
        """Return whether the database gives the same response; None if that says nothing."""
        validity, served = self._validity, entry.response
        if not validity.is_current(entry):
            return None
        response = respond()
        if response.status.startswith("5") or time.monotonic() >= entry.expires_at:
            return None
        if _content(response) == _content(served):
            return True
        is_defect = validity.is_settled(entry) and validity.is_current(entry)
        return False if is_defect else None


def _content(response: BufferedResponse) -> tuple[Any, ...]:
    headers = tuple(map(response.get_header, COMPARED_HEADERS))
    return response.status == OK, response.body, headers


def make_self_check(
    cache: ReadThrough | None, local_cache: LocalCache | None, engine: Engine
) -> SelfCheck | None:
    """Return the self-check of the cache that is in use; None without one."""

    def has_room() -> bool:
        pool = engine.pool
        return not isinstance(pool, QueuePool) or pool.checkedout() + 1 < pool.size()

    if cache is not None:
        return SelfCheck(RedisValidity(cache, engine), has_room)
    if local_cache is not None:
        return SelfCheck(LocalValidity(local_cache), has_room)
    return None
