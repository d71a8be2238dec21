"""Read-through: from Redis what is proved to be fresh, else from the view, once for all who wait.

Three things keep an old answer from being served after a write was acknowledged:
the versions of the tags (app/redis_cache.py), the outbox (app/outbox.py), and the lease: the
proof, renewed each half second, that no invalidation waits in the outbox.
"""

import time
from collections.abc import Callable, Sequence
from threading import Lock

from flask import Response

from app import outbox
from app.flights import Flights
from app.redis_cache import CacheAway, RedisCache

LEASE_SECONDS = 0.5
"""For so long at most can an answer be stale whose invalidation could not reach Redis."""
KEPT_HEADERS = ("ETag", "Content-Encoding", "Vary", "Link")

Answer = tuple[bytes, str]
"""A packed answer, and what Cache-Status says of it."""


class Answers:
    """The cache of finished answers of one process."""

    def __init__(self, redis: RedisCache) -> None:
        self.redis = redis
        self._lease = Lease(self._deliver_all)
        self._flights = Flights()
        redis.on_lost = self._lease.revoke

    def read(self, key: str, tags: Sequence[str], make: Callable[[], bytes]) -> Answer:
        """Return the answer of ``key``; ``make`` makes it where the cache has none."""
        if not self.redis.breaker.allows():
            return make(), "fwd=bypass; detail=redis-away"
        try:
            self._lease.hold()
            versions, entry = self.redis.look_up(key, tags)
        except CacheAway as away:
            return make(), f"fwd=bypass; detail=redis-{away}"
        if entry is not None:
            return entry, "hit"
        if versions is None:
            return make(), "fwd=miss; detail=redis-full"
        # Named by the versions, a flight is joined only by readers who began after the same
        # writes as its query: nobody is handed an answer from before a write they know of.
        flown, joined = self._flights.fly(
            (key, versions), lambda: self._fill(key, tags, versions, make)
        )
        return (flown[0], "fwd=miss; collapsed") if joined else flown

    def _fill(
        self, key: str, tags: Sequence[str], versions: bytes, make: Callable[[], bytes]
    ) -> Answer:
        # The flight before ours may have landed since we looked.
        landed = self._look_again(key, tags, versions)
        if landed is not None:
            return landed, "hit"
        made = make()
        return made, self._store(key, versions, made)

    def _look_again(self, key: str, tags: Sequence[str], versions: bytes) -> bytes | None:
        try:
            present, entry = self.redis.look_up(key, tags)
        except CacheAway:
            return None
        return entry if present == versions else None

    def _store(self, key: str, versions: bytes, made: bytes) -> str:
        try:
            stored = self.redis.store(key, versions, made)
        except CacheAway as away:
            return f"fwd=miss; detail=redis-{away}"
        return "fwd=miss; stored" if stored else "fwd=miss; detail=redis-full"

    def check(self) -> None:
        """Raise CacheAway unless the cache is in use."""
        if not self.redis.breaker.allows():
            raise CacheAway("away")
        self._lease.hold()
        self.redis.ping()

    def deliver(self, batch: Sequence[tuple[int, list[str]]]) -> None:
        """Invalidate what the rows of ``batch`` name, then remove the rows."""
        if not self.redis.breaker.allows():
            raise CacheAway("away")
        self._deliver(batch)

    def _deliver(self, batch: Sequence[tuple[int, list[str]]]) -> None:
        self.redis.forget(sorted({tag for _, tags in batch for tag in tags}))
        outbox.delivered([row for row, _ in batch])

    def _deliver_all(self) -> float:
        """Empty the outbox; return when the look began that found it empty."""
        while True:
            began = time.monotonic()
            batch = outbox.undelivered()
            if not batch:
                return began
            self._deliver(batch)


class Lease:
    """The right to use the cache, for LEASE_SECONDS from the last look into the outbox."""

    def __init__(self, prove: Callable[[], float]) -> None:
        self._prove = prove
        self._until = 0.0
        self._revocations = 0
        self._lock = Lock()

    def hold(self) -> None:
        """Return while the lease is good; renew it where it is not."""
        if time.monotonic() < self._until:
            return
        with self._lock:
            if time.monotonic() >= self._until:
                self._renew()

    def _renew(self) -> None:
        before = self._revocations
        began = self._prove()
        if self._revocations == before:
            self._until = began + LEASE_SECONDS

    def revoke(self) -> None:
        """End the lease now: Redis was out of reach, and anything may have been missed."""
        self._revocations += 1
        self._until = 0.0


def pack(response: Response) -> bytes:
    """Write headers and body as one run of bytes: nothing in it can be executed."""
    headers = [response.headers.get(name, "").encode("latin-1") for name in KEPT_HEADERS]
    return b"\n".join([*headers, response.get_data()])


def unpack(entry: bytes) -> Response:
    """Make the response that ``pack`` packed."""
    *values, body = entry.split(b"\n", len(KEPT_HEADERS))
    headers = [
        (name, value.decode("latin-1"))
        for name, value in zip(KEPT_HEADERS, values, strict=True)
        if value
    ]
    return Response(body, 200, headers, content_type="application/json")
