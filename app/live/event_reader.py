"""Deliver every new event to this process, once and in order, from Redis or the database.

The database is the source of truth. An event from the Redis stream is accepted only if it directly
follows the last known one. Gaps are filled from the database, which is also read once a second for
events that never reached Redis.
"""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from threading import Event as ThreadEvent
from threading import Lock, Thread

from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import describe
from app.errors import WindowPassed
from app.events import log as events
from app.events.log import Cursor, Event, LogHead
from app.events.stream import Stream
from app.live.hub import RING_SIZE
from app.redis.client import RedisUnavailable
from app.services import Services
from app.single_flight import SingleFlight

POLL_SECONDS = 1.0
"""Interval of database reads beside the stream, for events whose writer could not reach Redis."""
POLL_WITHOUT_REDIS_SECONDS = 0.04  # REDIS_URL is not set
POLL_REDIS_DOWN_SECONDS = 0.15  # Redis is unavailable
RETRY_SECONDS = 1.0
JOIN_TIMEOUT_SECONDS = 1.5
log = logging.getLogger(__name__)
OnEvents = Callable[[Sequence[Event]], None]
OnReset = Callable[[LogHead, Sequence[Event]], None]


class EventReader:
    """Follows the event log of one application in a thread that survives every failure.

    ``on_reset(head, recent)`` is called when the log is first read, and whenever it cannot be
    continued: it has another name or a lower position, or no longer stores the next event.
    ``recent`` has the newest events, at most RING_SIZE. After that ``on_events(events)`` is called
    with events in the order of their positions, without gaps, each event once. Neither callback
    may block or read events. They are called by one thread at a time.
    """

    def __init__(self, services: Services, on_events: OnEvents, on_reset: OnReset) -> None:
        self._engine, self._head = services.autocommit_engine, services.sequencer.head
        self._stream = Stream(services.redis.url) if services.redis else None
        self._on_events, self._on_reset = on_events, on_reset
        self._cursor: Cursor | None = None
        self._verified_log: str | None = None  # whose stream ``_verify`` has checked
        self._last_read_began = float("-inf")
        self._database_down = False
        self._restart = False
        self._lock = Lock()
        self._reads = SingleFlight()
        self._stopping = ThreadEvent()
        self._thread = Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Start the thread and return at once; ``catch_up`` waits for the first ``on_reset``."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within JOIN_TIMEOUT_SECONDS unless the database hangs."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT_SECONDS)

    def catch_up(self) -> None:
        """Return when everything that was committed before this call has been delivered.

        Raise SQLAlchemyError if the database is unavailable. Any thread may call it; simultaneous
        calls share one read.
        """
        called_at = time.monotonic()
        # A shared read may have begun before this call: then another one is needed.
        while self._last_read_began < called_at:
            self._reads.do("log", self._read_database)

    def restart(self) -> None:
        """Forget the position: the next read calls ``on_reset``. Never blocks."""
        self._restart = True

    def _read_database(self) -> None:
        with self._lock:
            began, head = time.monotonic(), self._head()
            cursor, self._restart = None if self._restart else self._cursor, False
            if cursor is None or cursor.log != head.log or cursor.position > head.position:
                self._reset(head)
            else:
                self._deliver_new(cursor, head)
            self._last_read_began = began

    def _reset(self, head: LogHead) -> None:
        recent = events.newest(self._engine, head.position, RING_SIZE)
        self._cursor, self._verified_log = Cursor(head.log, head.position), None
        self._on_reset(head, recent)

    def _deliver_new(self, cursor: Cursor, head: LogHead) -> None:
        try:
            while cursor.position < head.position:
                cursor = self._deliver(cursor, self._read_after(cursor, head.position))
        except WindowPassed:
            self._reset(self._head())

    def _read_after(self, cursor: Cursor, upto: int) -> Sequence[Event]:
        found = events.after(self._engine, cursor, upto)
        if not found or found != _contiguous(found, cursor.position):
            raise WindowPassed
        return found

    def _deliver(self, cursor: Cursor, found: Sequence[Event]) -> Cursor:
        # The position is updated first: if the callback fails, nothing is delivered twice.
        self._cursor = cursor = cursor._replace(position=found[-1].position)
        self._on_events(found)
        return cursor

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._step()
            except SQLAlchemyError as error:
                if not self._database_down:
                    self._database_down = True
                    log.warning(
                        "events are not read, the database is unavailable: %s", describe(error)
                    )
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("reading events failed; the reader tries again")
                self._stopping.wait(RETRY_SECONDS)
        if self._stream is not None:
            self._stream.close()

    def _step(self) -> None:
        if self._stream is None:
            self._poll(POLL_WITHOUT_REDIS_SECONDS)
        elif not self._stream.usable():
            self._poll(POLL_REDIS_DOWN_SECONDS)
        else:
            try:
                self._follow(self._stream)
            except RedisUnavailable as error:
                log.debug("the event stream is not read: redis-%s", error)
                self._poll(POLL_REDIS_DOWN_SECONDS)

    def _poll(self, then_wait: float) -> None:
        self.catch_up()
        if self._database_down:
            self._database_down = False
            log.info("events are read again")
        self._stopping.wait(then_wait)

    def _follow(self, stream: Stream) -> None:
        if self._last_read_began < time.monotonic() - POLL_SECONDS:
            self._poll(0)
        if (cursor := self._cursor) is None:
            return
        try:
            if self._verified_log != cursor.log:
                self._verify(stream, cursor.log)
            else:
                self._accept(cursor.log, stream.read(*cursor))
        except ValueError as error:
            log.warning("the event stream is deleted, it has foreign entries: %s", error)
            stream.drop(cursor.log)

    def _verify(self, stream: Stream, name: str) -> None:
        """Delete a stream that is ahead of the database, which was restored from a backup."""
        self._verified_log = name
        newest = stream.newest(name)
        self.catch_up()
        cursor = self._cursor
        if cursor is not None and cursor.log == name and cursor.position < newest:
            log.warning("the event stream is deleted, it is ahead of the database")
            stream.drop(name)

    def _accept(self, name: str, found: Sequence[Event]) -> None:
        with self._lock:
            cursor = self._cursor
            if cursor is None or cursor.log != name:
                return
            fresh = [event for event in found if event.position > cursor.position]
            following = _contiguous(fresh, cursor.position)
            if following:
                self._deliver(cursor, following)
        if len(following) < len(fresh):
            self.catch_up()
            # The database has every event before the stream has it. If not, verify the stream.
            if self._cursor is not None and self._cursor.position < fresh[-1].position:
                self._verified_log = None


def _contiguous(found: Sequence[Event], position: int) -> list[Event]:
    """Return the first of ``found`` that follow ``position`` and each other without a gap."""
    numbered = takewhile(lambda pair: pair[0] == pair[1].position, enumerate(found, position + 1))
    return [event for _, event in numbered]
