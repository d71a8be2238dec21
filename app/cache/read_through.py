"""Read-through: from Redis what is proved to be fresh, else from the view, once for all who wait.

Three things keep an old answer from being served after a write was acknowledged: the versions
of the tags (backend.py), the outbox (outbox.py) and the lease (lease.py).
"""

from collections.abc import Callable, Sequence

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.cache import outbox
from app.cache.backend import CacheAway, RedisCache
from app.cache.lease import Lease
from app.http.response import OK, Answer, pack, unpack
from app.redis.client import Command
from app.single_flight import Flights

Told = tuple[Answer, str]
"""An answer, and what Cache-Status says of it."""
Make = Callable[[], Answer]


class ReadThrough:
    """The cache of finished answers, as one process uses it."""

    def __init__(self, redis: RedisCache, engine: Engine) -> None:
        self.redis = redis
        self._engine = engine
        self._lease = Lease(redis, engine)
        self._flights = Flights()
        redis.server.on_lost = self._lease.revoke

    def read(self, key: str, tags: Sequence[str], make: Make) -> Told:
        """Return the answer of ``key``; ``make`` makes it where the cache has none."""
        if not self.redis.breaker.allows():
            return make(), "fwd=bypass; detail=redis-away"
        try:
            self._lease.hold()
            versions, packed = self.redis.look_up(key, tags)
        except CacheAway as away:
            return make(), f"fwd=bypass; detail=redis-{away}"
        except SQLAlchemyError:
            return make(), "fwd=bypass; detail=outbox-away"
        found = _unpacked(packed)
        if found is not None:
            return found, "hit"
        if versions is None:
            return make(), "fwd=miss; detail=redis-full"
        return self._fly(key, tags, versions, make)

    def _fly(self, key: str, tags: Sequence[str], versions: bytes, make: Make) -> Told:
        # Named by the versions, a flight is joined only by readers who began after the same
        # writes as its query: nobody is handed an answer from before a write they know of.
        (answer, status), joined = self._flights.fly(
            (key, versions), lambda: self._fill(key, tags, versions, make)
        )
        if not joined:
            return answer, status
        if answer.status != OK:  # a failure names the request that it belongs to
            return make(), "fwd=miss"
        return Answer(answer.status, list(answer.headers), answer.body), "fwd=miss; collapsed"

    def _fill(self, key: str, tags: Sequence[str], versions: bytes, make: Make) -> Told:
        # The flight before ours may have landed since we looked.
        landed = self._look_again(key, tags, versions)
        if landed is not None:
            return landed, "hit"
        answer = make()
        return answer, self._store(key, versions, answer) if answer.status == OK else "fwd=miss"

    def _look_again(self, key: str, tags: Sequence[str], versions: bytes) -> Answer | None:
        try:
            present, packed = self.redis.look_up(key, tags)
        except CacheAway:
            return None
        return _unpacked(packed) if present == versions else None

    def _store(self, key: str, versions: bytes, answer: Answer) -> str:
        try:
            stored = self.redis.store(key, versions, pack(answer))
        except CacheAway as away:
            return f"fwd=miss; detail=redis-{away}"
        return "fwd=miss; stored" if stored else "fwd=miss; detail=redis-full"

    def check(self) -> None:
        """Raise CacheAway unless the cache is in use."""
        if not self.redis.breaker.allows():
            raise CacheAway("away")
        self._lease.hold()
        self.redis.prove()

    def deliver(self, row: int, tags: Sequence[str], also: Sequence[Command] = ()) -> None:
        """Invalidate what a write's outbox row names and remove it; or hold it and raise.

        The commands ``also`` go along; Redis may refuse them.
        """
        try:
            self.redis.forget(tags, also)
        except CacheAway:
            outbox.hold(self._engine, row)
            raise
        outbox.remove(self._engine, [row])


def _unpacked(packed: bytes | None) -> Answer | None:
    if packed is None:
        return None
    try:
        return unpack(packed)
    except ValueError:  # not ours: somebody else writes into this Redis
        return None
