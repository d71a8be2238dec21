"""Everybody who follows events in this process, each at its own position.

There is no queue for a follower: it reads from the ring that all share, from the table when it is
further behind, and sleeps when it has seen everything. So a slow one holds no memory and delays
nobody, and starting, resuming and going on are one and the same.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from app.errors import BadRequest, WindowPassed, is_away
from app.events import log as events
from app.events.log import Cursor, Event, Head
from app.live.ring import Ring

PAGE = 500
AWAY_SECONDS = 1.0
Waiter = asyncio.Future[int]
Count = Callable[[], None]
InThread = Callable[..., Coroutine[Any, Any, Any]]


class Hub:
    """The followers of one log. All its methods belong to one event loop."""

    def __init__(self, catch_up: Callable[[], None], engine: Engine, in_thread: InThread) -> None:
        self._catch_up = partial(in_thread, catch_up)
        self._engine = engine
        self._in_thread = in_thread
        self._ring: Ring | None = None
        self._look: asyncio.Task[Any] | None = None
        self._waiting: dict[str | None, set[Waiter]] = defaultdict(set)

    def reset(self, head: Head, recent: Sequence[Event]) -> None:
        """Begin with this log; what was known of another is void."""
        self._ring = Ring(head, recent)
        for topic in list(self._waiting):
            self._wake(topic, 0)

    def publish(self, new: Sequence[Event]) -> None:
        """Take what follows on the newest event, and wake those whom it concerns."""
        self._known().add(new)
        for event in new:
            self._wake(event.topic, event.position)
            self._wake(None, event.position)

    async def follow(
        self, topic: str | None, after: str | None, count: Count
    ) -> AsyncGenerator[tuple[str, Event], None]:
        """Give every event of ``topic``, or of all, with its log: after a cursor or from now on.

        ``count`` is called, in a thread, before the table is read. Raise BadRequest for what is
        no cursor, and WindowPassed when events after it are gone.
        """
        await self._caught_up()
        ring = self._known()
        position = ring.position if after is None else _place(after, ring)
        while True:
            upto = self._same(ring.log, position).position
            found: Sequence[Event] | None = self._known().since(position, topic)
            if found is None:
                found = await self._from_table(Cursor(ring.log, position), upto, topic, count)
                upto = found[-1].position if len(found) == PAGE else upto
            for event in found:
                yield ring.log, event
            position = upto
            if position == self._same(ring.log, position).position:
                # Nothing of this topic lies between here and the event that wakes.
                position = max(position, await self._next(topic) - 1)

    def _known(self) -> Ring:
        if self._ring is None:
            raise RuntimeError("no log was read yet")
        return self._ring

    def _same(self, log: str, position: int) -> Ring:
        """Return the ring; raise WindowPassed if the database was replaced, or put back."""
        ring = self._known()
        if ring.log != log or ring.position < position:
            raise WindowPassed
        return ring

    async def _caught_up(self) -> None:
        """Wait for a look at the database that begins after this call; one serves all."""
        running = self._look
        if running is not None:
            await asyncio.wait([running])
        look = self._look
        if look is None or look is running:
            look = self._look = asyncio.create_task(self._catch_up())
            look.add_done_callback(_seen)
        await asyncio.shield(look)

    async def _from_table(
        self, place: Cursor, upto: int, topic: str | None, count: Count
    ) -> Sequence[Event]:
        def read() -> Sequence[Event]:
            return events.after(self._engine, place, upto, topic, PAGE)

        await self._in_thread(count)
        while True:
            try:
                found: Sequence[Event] = await self._in_thread(read)
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise
                # Who is on the line already stays there, until the database is back.
                await asyncio.sleep(AWAY_SECONDS)
            else:
                return found

    async def _next(self, topic: str | None) -> int:
        """Sleep until an event of ``topic`` is published, and return its position."""
        waiter: Waiter = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(waiter)
        try:
            return await waiter
        finally:
            waiters = self._waiting.get(topic)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self._waiting[topic]

    def _wake(self, topic: str | None, position: int) -> None:
        for waiter in self._waiting.pop(topic, ()):
            if not waiter.done():
                waiter.set_result(position)


def _seen(look: asyncio.Task[Any]) -> None:
    """Take note of a failure that nobody waits for any more."""
    if not look.cancelled():
        look.exception()


def _place(after: str, ring: Ring) -> int:
    try:
        place = events.read_cursor(after)
    except ValueError:
        raise BadRequest("This is no cursor of an event.") from None
    if place.log != ring.log:
        raise WindowPassed
    return place.position
