"""Brings every new event to this process, once and in order: from Redis, else from the database.

The database is the truth. The stream in Redis is only believed for what directly follows on what
is known; a gap in it, and each second in which it may have missed something, is settled by
reading the database.
"""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from threading import Event as Sign
from threading import Lock, Thread

from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from app.cache.tags import read_through
from app.db.engine import unbegun
from app.errors import WindowPassed
from app.events import log as events
from app.events.log import Cursor, Event, Head
from app.events.stream import Stream
from app.live.ring import RECENT
from app.redis.client import RedisAway
from app.single_flight import Flights

LOOK_SECONDS = 1.0
"""So often the database is read beside the stream: for what a writer could not tell Redis."""
WITHOUT_REDIS_SECONDS = 0.1
REDIS_AWAY_SECONDS = 0.15
RETRY_SECONDS = 1.0
STOP_SECONDS = 1.5
log = logging.getLogger(__name__)
Deliver = Callable[[Sequence[Event]], None]
Reset = Callable[[Head, Sequence[Event]], None]


class Reader:
    """Follows the log of one application in a thread of its own, which never gives up.

    ``reset(head, recent)`` is called when the log is first read, and whenever nothing that was
    known counts any more: the log has another name, or went back, or the next event is not kept.
    ``recent`` are its newest events, RECENT at most. From there on ``deliver(events)`` is called
    with events whose positions follow on each other, each once. Neither may block, nor call the
    reader; they are called by one thread at a time, the reader's or one that catches up.
    """

    def __init__(self, app: Flask, deliver: Deliver, reset: Reset) -> None:
        with app.app_context():
            self._engine = unbegun()
        kept = read_through(app)
        self._stream = Stream(kept.redis.server.url) if kept else None
        self._deliver, self._reset = deliver, reset
        self._place: Cursor | None = None
        self._proved: str | None = None
        self._read_at = float("-inf")
        self._away = False
        self._anew = False
        self._lock = Lock()
        self._flights = Flights()
        self._stopping = Sign()
        self._thread = Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Start to follow, at once: ``reset`` is called when the database has answered.

        To wait for that, call ``catch_up``.
        """
        self._thread.start()

    def stop(self) -> None:
        """End the thread, within STOP_SECONDS unless the database hangs."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def catch_up(self) -> None:
        """Return when everything that was committed before this call has been delivered.

        Raise SQLAlchemyError where the database is away. Any thread may call it; of many at
        once, one reads for all.
        """
        asked = time.monotonic()
        # A read that began before does not count: hence the loop.
        while self._read_at < asked:
            self._flights.fly("log", self._read)

    def begin_anew(self) -> None:
        """Forget what was delivered: ``reset`` is called at the next look. Never waits."""
        self._anew = True

    def _read(self) -> None:
        with self._lock:
            began, head = time.monotonic(), events.head(self._engine)
            place, self._anew = None if self._anew else self._place, False
            if place is None or place.log != head.log or place.position > head.position:
                self._begin(head)
            else:
                self._go_on(place, head)
            self._read_at = began

    def _begin(self, head: Head) -> None:
        recent = events.newest(self._engine, head.position, RECENT)
        self._place, self._proved = Cursor(head.log, head.position), None
        self._reset(head, recent)

    def _go_on(self, place: Cursor, head: Head) -> None:
        try:
            while place.position < head.position:
                place = self._give(place, self._behind(place, head.position))
        except WindowPassed:
            self._begin(events.head(self._engine))

    def _behind(self, place: Cursor, upto: int) -> Sequence[Event]:
        found = events.after(self._engine, place, upto)
        if not found or found != _following(found, place.position):
            raise WindowPassed
        return found

    def _give(self, place: Cursor, found: Sequence[Event]) -> Cursor:
        # Noted first: whatever becomes of the call, nothing is delivered twice.
        self._place = place = place._replace(position=found[-1].position)
        self._deliver(found)
        return place

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except SQLAlchemyError as error:
                self._note_away(error)
                self._stopping.wait(RETRY_SECONDS)
            except Exception:
                log.exception("the reader of events goes on after a failure")
                self._stopping.wait(RETRY_SECONDS)
        if self._stream is not None:
            self._stream.close()

    def _turn(self) -> None:
        if self._stream is None:
            self._look(WITHOUT_REDIS_SECONDS)
        elif not self._stream.usable():
            self._look(REDIS_AWAY_SECONDS)
        else:
            try:
                self._follow(self._stream)
            except RedisAway as away:
                log.debug("the stream of events is not read: redis-%s", away)
                self._look(REDIS_AWAY_SECONDS)

    def _look(self, then_wait: float) -> None:
        self.catch_up()
        if self._away:
            self._away = False
            log.info("events are read again")
        self._stopping.wait(then_wait)

    def _note_away(self, error: SQLAlchemyError) -> None:
        if not self._away:
            self._away = True
            log.warning("events are not read, the database is away: %s", error)

    def _follow(self, stream: Stream) -> None:
        if self._read_at < time.monotonic() - LOOK_SECONDS:
            self._look(0)
        if self._place is not None:
            self._read_stream(stream, self._place)

    def _read_stream(self, stream: Stream, place: Cursor) -> None:
        try:
            if self._proved != place.log:
                self._prove(stream, place.log)
            else:
                self._take(place.log, stream.read(*place))
        except ValueError as error:
            log.warning("the stream of events begins anew, somebody else wrote to it: %s", error)
            stream.drop(place.log)

    def _prove(self, stream: Stream, name: str) -> None:
        """Remove a stream with what the database does not have: it was brought back to before."""
        self._proved = name
        newest = stream.newest(name)
        self.catch_up()
        if self._place is not None and self._place.log == name and self._place.position < newest:
            log.warning("the stream of events knows more than the database: it begins anew")
            stream.drop(name)

    def _take(self, name: str, found: Sequence[Event]) -> None:
        with self._lock:
            place = self._place
            if place is None or place.log != name:
                return
            fresh = [event for event in found if event.position > place.position]
            following = _following(fresh, place.position)
            if following:
                self._give(place, following)
        if len(following) < len(fresh):
            self._close_gap(fresh[-1].position)

    def _close_gap(self, position: int) -> None:
        self.catch_up()
        # The database has every event before the stream has it.
        if self._place is not None and self._place.position < position:
            self._proved = None


def _following(found: Sequence[Event], position: int) -> list[Event]:
    """Return the first of ``found`` that follow on ``position`` and on each other."""
    numbered = takewhile(lambda pair: pair[0] == pair[1].position, enumerate(found, position + 1))
    return [event for _, event in numbered]
