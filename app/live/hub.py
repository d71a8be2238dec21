"""The followers of events in this process, each at its own position in the log.

Followers have no queues. Each one reads from the ring buffer that all share, or from the table
when it is further behind, and waits when it has read everything. So a slow follower uses no memory
and delays nobody, and there is one code path for starting, resuming and continuing.
"""

import asyncio
from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.changes.pages import parse_cursor
from app.db.errors import is_unavailable
from app.errors import WindowPassed
from app.events import log as events
from app.events.log import Cursor, Event, LogHead

RING_SIZE = 1_000
"""Number of events in memory; clients that reconnect after a short time are served from them."""
PAGE_SIZE = 500
RETRY_SECONDS = 1.0
MAX_PAGES = 20
"""Pages in memory, for followers who are behind the ring buffer."""
Keys = frozenset[str] | None
"""The types and topics of the events that a follower wants; None: all."""
Waiter = asyncio.Future[int]
CountRead = Callable[[], None]
RunInThread = Callable[..., Coroutine[Any, Any, Any]]


class Batch(NamedTuple):
    """What a follower reads at a time."""

    log: str
    position: int
    """The follower has read the log up to here."""
    events: list[Event]
    """Those that it wants, oldest first."""


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

    def since(self, position: int) -> list[Event] | None:
        """Return the events after ``position``; None if some are not here."""
        later = self.position - position
        if later > len(self._events):
            return None
        return [self._events[place] for place in range(-later, 0)]  # fast near the end of a deque


class Hub:
    """The followers of one log. Call all methods from one event loop."""

    def __init__(
        self, catch_up: Callable[[], None], engine: Engine, in_thread: RunInThread
    ) -> None:
        self._catch_up = partial(in_thread, catch_up)
        self._read_head = partial(in_thread, events.head, engine)
        self._read_after = partial(in_thread, events.after, engine)
        self._in_thread = in_thread
        self._ring: RingBuffer | None = None
        self._catching_up: asyncio.Task[Any] | None = None
        self._pages: OrderedDict[int, asyncio.Task[list[Event]]] = OrderedDict()
        self.waiters: dict[str | None, set[Waiter]] = defaultdict(set)
        """The followers that wait for their next event, by each of their keys."""

    def reset(self, head: LogHead, recent: Sequence[Event]) -> None:
        """Replace the ring buffer: this log starts, or another one replaces it."""
        self._ring = RingBuffer(head, recent)
        self._pages.clear()
        for key in list(self.waiters):
            self._wake(key, 0)  # below every position: ``follow`` only checks the new ring

    def publish(self, new: Sequence[Event]) -> None:
        """Append the next events and wake their followers; raise ValueError if there is a gap."""
        self._current_ring().append(new)
        for event in new:
            for key in (event.type, event.topic, None):
                self._wake(key, event.position)

    async def follow(
        self, keys: Keys, after: str | None, count: CountRead
    ) -> AsyncGenerator[tuple[str, Event], None]:
        """Yield the events of ``batches`` one by one, each with the name of the log."""
        async with aclosing(self.batches(keys, after, count)) as batches:
            async for batch in batches:
                for event in batch.events:
                    yield batch.log, event

    async def batches(
        self, keys: Keys, after: str | None, count: CountRead, within: float | None = None
    ) -> AsyncGenerator[Batch, None]:
        """Yield the events whose type or topic is one of ``keys``, as many at a time as there are.

        Begin after the cursor ``after``, or with the next new event. The first batch comes at
        once, and a further one ``within`` so many seconds: they may be empty. ``count`` is called
        in a thread before each read of the table. Raise BadRequest for an invalid cursor, and
        WindowPassed when events after it are no longer stored.
        """
        log, position = await self.locate(after)
        while True:
            ring = self._ring_for(log, position)
            upto, found = ring.position, ring.since(position)
            if found is None:
                upto = min(upto, position - position % PAGE_SIZE + PAGE_SIZE)
                found = await self._read_table(Cursor(log, position), upto, count)
            wanted = [e for e in found if e.position > position and matches(e, keys)]
            yield Batch(log, upto, wanted)
            position = upto
            if position == self._ring_for(log, position).position:
                # The first event with one of the keys after ``position`` is what wakes us.
                position = max(position, await self._next(keys, within) - 1)

    async def locate(self, after: str | None) -> Cursor:
        """Return the place of a cursor, or of now: after all that was committed before the call."""
        await self._wait_until_caught_up()
        ring = self._current_ring()
        return Cursor(ring.log, ring.position if after is None else _position(after, ring))

    async def find_beginning(self) -> str:
        """Return the cursor before the oldest event that is stored."""
        head = await self._read_head()
        return events.format_cursor(*head.beginning)

    async def wait(self, keys: Keys, cursor: Cursor) -> None:
        """Return when there is an event with one of ``keys`` after ``cursor``, or may be one.

        There may be one if the ring buffer begins later. Raise WindowPassed.
        """
        found = self._ring_for(*cursor).since(cursor.position)
        if found is not None and not any(matches(event, keys) for event in found):
            await self._next(keys)

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
            task.add_done_callback(_retrieve_exception)
        await asyncio.shield(task)

    async def _read_table(self, cursor: Cursor, upto: int, count: CountRead) -> list[Event]:
        """Return the events after ``cursor`` up to the end of its page, which followers share."""
        await self._in_thread(count)
        if cursor.position % PAGE_SIZE or upto % PAGE_SIZE:
            return await self._read(cursor, upto)
        task = self._pages.pop(cursor.position, None)
        if task is None or (task.done() and (task.cancelled() or task.exception())):
            task = asyncio.create_task(self._read(cursor, upto))
            task.add_done_callback(_retrieve_exception)
        self._pages[cursor.position] = task
        while len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)
        return await asyncio.shield(task)

    async def _read(self, cursor: Cursor, upto: int) -> list[Event]:
        while True:
            try:
                found: list[Event] = await self._read_after(cursor, upto, PAGE_SIZE)
            except SQLAlchemyError as error:
                if not is_unavailable(error):
                    raise
                # A subscription stays open until the database is available again.
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return found

    async def _next(self, keys: Keys, within: float | None = None) -> int:
        """Wait until an event with one of ``keys`` is published, and return its position.

        Or ``within`` so many seconds that of the next event: no other has one of ``keys``.
        """
        loop = asyncio.get_running_loop()
        waiter: Waiter = loop.create_future()
        timer = None if within is None else loop.call_later(within, self._give_up, waiter)
        own: Collection[str | None] = (None,) if keys is None else keys
        for key in own:
            self.waiters[key].add(waiter)
        try:
            return await waiter
        finally:
            if timer is not None:
                timer.cancel()
            for key in own:
                waiters = self.waiters.get(key)
                if waiters is not None:
                    waiters.discard(waiter)
                    if not waiters:
                        del self.waiters[key]

    def _give_up(self, waiter: Waiter) -> None:
        if not waiter.done():
            waiter.set_result(self._current_ring().position + 1)

    def _wake(self, key: str | None, position: int) -> None:
        for waiter in self.waiters.pop(key, ()):
            if not waiter.done():
                waiter.set_result(position)


def _retrieve_exception(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from logging an exception because no follower waits any more."""
    if not task.cancelled():
        task.exception()


def matches(event: Event, keys: Keys) -> bool:
    """Return whether the type or the topic of ``event`` is one of ``keys``."""
    return keys is None or event.type in keys or event.topic in keys


def _position(after: str, ring: RingBuffer) -> int:
    cursor = parse_cursor(after)
    if cursor.log != ring.log:
        raise WindowPassed
    return cursor.position
