"""The sequencer: gives positions to new events, and sends them to the Redis stream.

Each process that writes has one, which its commits wake. It makes no difference which of them
numbers an event: they take turns by the lock of the head, and an event of a process that died is
numbered by whoever reads the head next.
"""

import logging
from collections import deque
from datetime import timedelta
from threading import Event as ThreadEvent
from threading import Lock, Thread

from sqlalchemy import Engine, delete, func, select, update
from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import describe
from app.db.types import now
from app.events.log import LogHead, Numbered, head, number_events
from app.events.models import new_log_name
from app.events.statements import EVENT_TABLE, HEAD_TABLE, NUMBERED_AT_ONCE, STORED
from app.events.stream import READ_LIMIT, STREAM_MAX, stream_commands
from app.redis.client import RedisClient, RedisUnavailable

PURGE_EVERY, PURGE_LIMIT = 10, 100
"""Every tenth event removes up to a hundred old ones, so they cannot accumulate."""
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
        """Return ``log.head``; publish the events that it has to number."""
        return head(self._engine, self._publish)

    def _run(self) -> None:
        while self._wait():
            self._woken.clear()
            try:
                while self._step():
                    pass
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

    def _step(self) -> bool:
        """Handle some events, and return whether there may be more."""
        if self._engine.dialect.name == "sqlite":
            found = self._numbered.popleft() if self._numbered else None
        else:
            found = number_events(self._engine)
        if found is None or not found.events:
            return False
        self._publish(found)
        self._purge(found.events[0].position, found.events[-1].position)
        return bool(self._numbered) or len(found.events) == NUMBERED_AT_ONCE

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


def new_log(engine: Engine) -> str:
    """Give the log a new name, and return it: cursors of the old one are refused from now on."""
    head(engine)  # creates it if the tables were emptied
    name = new_log_name()
    with engine.connect() as connection:
        connection.execute(update(HEAD_TABLE).values(log=name))
    return name


def purge(engine: Engine, keep: timedelta, limit: int) -> None:
    """Remove up to ``limit`` events that are older than ``keep``.

    It always removes a prefix of the log, so the stored events have no gaps even if several
    processes purge at once.
    """
    oldest = (
        select(STORED.position, STORED.created_at)
        .where(STORED.position.is_not(None))
        .order_by(STORED.position)
        .limit(limit + 1)
        .subquery()
    )
    recent = func.min(oldest.c.position).filter(oldest.c.created_at >= now() - keep)
    first_to_keep = select(func.coalesce(recent, func.max(oldest.c.position))).scalar_subquery()
    with engine.connect() as connection:
        connection.execute(delete(EVENT_TABLE).where(STORED.position < first_to_keep))
