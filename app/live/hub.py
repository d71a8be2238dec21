"""The followers of events in this process, each at its own position in the log.

Followers have no queues. Each one reads from the ring buffer that all share, or from the table
when it is further behind, and waits when it has read everything. So a slow follower uses no memory
and delays nobody, and there is one code path for starting, resuming and continuing.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from functools import partial
from itertools import islice
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import is_unavailable
from app.errors import BadRequest, WindowPassed
from app.events import log as events
from app.events.log import Cursor, Event, LogHead

RING_SIZE = 1_000
"""Number of events in memory; clients that reconnect after a short time are served from them."""
PAGE_SIZE = 500
RETRY_SECONDS = 1.0
Waiter = asyncio.Future[int]
CountRead = Callable[[], None]
RunInThread = Callable[..., Coroutine[Any, Any, Any]]


class RingBuffer:
    """The newest events of a log, oldest first, without gaps."""

    def __init__(self, head: LogHead, recent: Iterable[Event] = ()) -> None:
        self.log = head.log
        self.position = head.position
        self._events = deque(recent, RING_SIZE)

    def append(self, events: Sequence[Event]) -> None:
        """Append the next events; raise ValueError if there is a gap."""
        if events and events[0].position != self.position + 1:
            raise ValueError(f"event {events[0].position} does not follow {self.position}")
        self._events.extend(events)
        self.position = events[-1].position if events else self.position

    def since(self, position: int, topic: str | None) -> list[Event] | None:
        """Return the events after ``position``, of one topic or all; None if some are not here."""
        skipped = len(self._events) - (self.position - position)
        if skipped < 0:
            return None
        later = islice(self._events, skipped, None)
        return [event for event in later if topic is None or event.topic == topic]


class Hub:
    """The followers of one log. Call all methods from one event loop."""

    def __init__(
        self, catch_up: Callable[[], None], engine: Engine, in_thread: RunInThread
    ) -> None:
        self._catch_up = partial(in_thread, catch_up)
        self._engine = engine
        self._in_thread = in_thread
        self._ring: RingBuffer | None = None
        self._catching_up: asyncio.Task[Any] | None = None
        self.waiters: dict[str | None, set[Waiter]] = defaultdict(set)
        """The followers that wait for their next event, by topic."""

    def reset(self, head: LogHead, recent: Sequence[Event]) -> None:
        """Replace the ring buffer: this log starts, or another one replaces it."""
        self._ring = RingBuffer(head, recent)
        for topic in list(self.waiters):
            self._wake(topic, 0)  # below every position: ``follow`` only checks the new ring

    def publish(self, new: Sequence[Event]) -> None:
        """Append the next events and wake their followers; raise ValueError if there is a gap."""
        self._current_ring().append(new)
        for event in new:
            self._wake(event.topic, event.position)
            self._wake(None, event.position)

    async def follow(
        self, topic: str | None, after: str | None, count: CountRead
    ) -> AsyncGenerator[tuple[str, Event], None]:
        """Yield the name of the log and each event of ``topic``, or of all topics if it is None.

        Begin after the cursor ``after``, or with the next new event. ``count`` is called in a
        thread before each read of the table. Raise BadRequest for an invalid cursor, and
        WindowPassed when events after it are no longer stored.
        """
        await self._wait_until_caught_up()
        ring = self._current_ring()
        log, position = ring.log, ring.position if after is None else _position(after, ring)
        while True:
            ring = self._ring_for(log, position)
            upto, found = ring.position, ring.since(position, topic)
            if found is None:
                found = await self._read_table(Cursor(log, position), upto, topic, count)
                upto = found[-1].position if len(found) == PAGE_SIZE else upto
            for event in found:
                yield log, event
            position = upto
            if position == self._ring_for(log, position).position:
                # The first event of this topic after ``position`` is the one that wakes us.
                position = max(position, await self._next(topic) - 1)

    def _current_ring(self) -> RingBuffer:
        if self._ring is None:
            raise RuntimeError("no log was read yet")
        return self._ring

    def _ring_for(self, log: str, position: int) -> RingBuffer:
        """Return the ring; raise WindowPassed if it has another log or ends before ``position``."""
        ring = self._current_ring()
        if ring.log != log or ring.position < position:
            raise WindowPassed
        return ring

    async def _wait_until_caught_up(self) -> None:
        """Wait for a read of the database that begins after this call; calls share reads."""
        running = self._catching_up
        if running is not None:
            await asyncio.wait([running])
        task = self._catching_up
        if task is None or task is running:
            task = self._catching_up = asyncio.create_task(self._catch_up())
            # Retrieve the exception: else asyncio logs it if no follower waits any more.
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(task)

    async def _read_table(
        self, cursor: Cursor, upto: int, topic: str | None, count: CountRead
    ) -> list[Event]:
        await self._in_thread(count)
        while True:
            try:
                found: list[Event] = await self._in_thread(
                    events.after, self._engine, cursor, upto, topic, PAGE_SIZE
                )
            except SQLAlchemyError as error:
                if not is_unavailable(error):
                    raise
                # A subscription stays open until the database is available again.
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return found

    async def _next(self, topic: str | None) -> int:
        """Wait until an event of ``topic`` is published, and return its position."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self.waiters[topic].add(waiter)
        try:
            return await waiter
        finally:
            waiters = self.waiters.get(topic)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self.waiters[topic]

    def _wake(self, topic: str | None, position: int) -> None:
        for waiter in self.waiters.pop(topic, ()):
            if not waiter.done():
                waiter.set_result(position)


def _position(after: str, ring: RingBuffer) -> int:
    try:
        cursor = events.parse_cursor(after)
    except ValueError:
        raise BadRequest("This is not a valid event cursor.") from None
    if cursor.log != ring.log:
        raise WindowPassed
    return cursor.position
