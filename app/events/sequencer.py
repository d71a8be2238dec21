"""The sequencer: gives positions to new events, and sends them to the Redis stream.

Each process that writes has one, which its commits wake. It makes no difference which of them
numbers an event: they take turns by the lock of the head, and an event of a process that died is
numbered by whoever reads the head next.
"""

import logging
import time
from collections import deque
from datetime import timedelta
from threading import Event as ThreadEvent
from threading import Lock, Thread

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import describe
from app.db.types import now
from app.events.log import LogHead, Numbered, head, number_events
from app.events.new_log import check_origin
from app.events.statements import NUMBERED_AT_ONCE, PURGE_EVENTS
from app.events.stream import READ_LIMIT, STREAM_MAX, stream_commands
from app.redis.client import RedisClient, RedisUnavailable

PURGE_EVERY, PURGE_LIMIT = 100, 1_000
"""Every hundredth event removes up to a thousand old ones, so they cannot accumulate."""
REST_SECONDS, MAX_REST_SECONDS = 0.03, 0.1
"""The rest after numbering, for each event, so that under load many events share its cost."""
IDLE_SECONDS = 5.0
log = logging.getLogger(__name__)


class Sequencer:
    """Numbers and publishes events in a thread that lives while there are some."""

    def __init__(self, engine: Engine, redis: RedisClient | None, feed_days: int) -> None:
        self._engine = engine
        self._redis = redis
        self._keep = timedelta(days=feed_days)
        self._woken = ThreadEvent()
        self._numbered: deque[Numbered] = deque()  # by their writers: on SQLite only
        self._lock = Lock()
        self._is_running = False
        self._is_checked = False

    def wake(self, numbered: Numbered | None = None) -> None:
        """Say that events were committed; ``numbered`` is what ``append`` returned for them.

        Never waits and never fails: events that are not published are read from the database.
        """
        if numbered is not None:
            self._numbered.append(numbered)
        self._woken.set()
        with self._lock:
            if not self._is_running:
                self._is_running = True
                Thread(target=self._run, name="sequencer", daemon=True).start()

    def head(self) -> LogHead:
        """Return ``log.head``; publish the events that it has to number.

        The first call checks whether the database is a copy of another one, and so does the first
        after a failure: somebody may have put a copy in its place.
        """
        try:
            if not self._is_checked:
                head(self._engine, self._publish)  # creates it if the tables were emptied
                check_origin(self._engine)
                self._is_checked = True
            return head(self._engine, self._publish)
        except SQLAlchemyError:
            self._is_checked = False
            raise

    def _run(self) -> None:
        while self._wait():
            self._woken.clear()
            try:
                time.sleep(min(REST_SECONDS * self._handle_new(), MAX_REST_SECONDS))
            # The next commit wakes it again, and whoever reads the head numbers what is left.
            except SQLAlchemyError as error:
                log.warning("new events are not numbered yet: %s", describe(error))
            except Exception:
                log.exception("numbering events failed")

    def _wait(self) -> bool:
        """Wait until events are committed; return False if that takes too long."""
        if self._woken.wait(IDLE_SECONDS):
            return True
        with self._lock:
            self._is_running = self._woken.is_set()
        return self._is_running

    def _handle_new(self) -> int:
        """Publish new events; return how many of them got their positions here."""
        count = 0
        while found := self._number():
            self._publish(found)
            self._purge(found.events[0].position, found.events[-1].position)
            if self._engine.dialect.name != "sqlite":
                count += len(found.events)
                if len(found.events) < NUMBERED_AT_ONCE:
                    break
        return count

    def _number(self) -> Numbered | None:
        """Return events with new positions; None if there are no others."""
        if self._engine.dialect.name == "sqlite":
            return self._numbered.popleft() if self._numbered else None
        found = number_events(self._engine)
        return found if found.events else None

    def _publish(self, numbered: Numbered) -> None:
        redis, found = self._redis, numbered.events
        if redis is None or not found or not redis.breaker.closed:
            return
        try:
            for begin in range(max(0, len(found) - STREAM_MAX), len(found), READ_LIMIT):
                some = stream_commands(numbered.log, found[begin : begin + READ_LIMIT])
                redis.send(redis.connection(), some)
        except RedisUnavailable as error:
            log.debug("events are not published: redis-%s", error)

    def _purge(self, first: int, last: int) -> None:
        due = last // PURGE_EVERY - (first - 1) // PURGE_EVERY
        if due:
            purge(self._engine, self._keep, due * PURGE_LIMIT)


def purge(engine: Engine, keep: timedelta, limit: int) -> None:
    """Remove up to ``limit`` events that are older than ``keep``; the others have no gaps."""
    with engine.connect() as connection:
        connection.execute(PURGE_EVENTS, {"limit": limit, "keep_from": now() - keep})
