"""Everybody who follows events in this process, each at its own position.

There is no queue for a follower: it reads from the ring that all share, from the table when it is
further behind, and sleeps when it has seen everything. So a slow one holds no memory and delays
nobody, and starting, resuming and going on are one and the same.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from app import events
from app.errors import ApiError, BadRequest
from app.events import Event, Head
from app.live.ring import Ring

PAGE = 500
Waiter = asyncio.Future[int]


class WindowPassed(ApiError):  # noqa: N818 - named as its kin
    """What followed on a cursor is not kept any more."""

    status = HTTPStatus.GONE

    def __init__(self) -> None:
        super().__init__(
            "The window of this cursor has passed: read the list again, and start from there."
        )


class Page(NamedTuple):
    """A part of the table."""

    events: Sequence[Event]
    head: Head
    """Of the table, looked at after the events."""


class Log(Protocol):
    """The log as it stands in the database; its methods wait, and are called in threads."""

    def catch_up(self) -> None:
        """Hand all that was committed before this call to the hub."""

    def page(self, position: int, upto: int, topic: str | None, limit: int) -> Page:
        """Read events after ``position`` and up to ``upto``."""


Count = Callable[[], None]
InThread = Callable[..., Awaitable[Any]]


class Hub:
    """The followers of one log. All its methods belong to one event loop."""

    def __init__(self, log: Log, in_thread: InThread) -> None:
        self._log = log
        self._in_thread = in_thread
        self._ring: Ring | None = None
        self._look: asyncio.Task[None] | None = None
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
    ) -> AsyncGenerator[Event, None]:
        """Give every event of ``topic``, or of all, after a cursor or from now on.

        ``count`` is called, in a thread, before the table is read. Raise BadRequest for what is
        no cursor, and WindowPassed when events after it are gone.
        """
        await self._caught_up()
        ring = self._known()
        position = ring.position if after is None else _place(after, ring)
        while True:
            upto = self._same(ring.log).position
            found: Sequence[Event] | None = self._known().since(position, topic)
            if found is None:
                found = await self._from_table(ring.log, position, upto, topic, count)
                upto = found[-1].position if len(found) == PAGE else upto
            for event in found:
                yield event
            position = upto
            if position == self._same(ring.log).position:
                # Nothing of this topic lies between here and the event that wakes.
                position = max(position, await self._next(topic) - 1)

    def cursor(self, event: Event) -> str:
        """Write the place of ``event``, for a client to come back to."""
        return events.cursor_of(self._known().log, event.position)

    def _known(self) -> Ring:
        if self._ring is None:
            raise RuntimeError("no log was read yet")
        return self._ring

    def _same(self, log: str) -> Ring:
        ring = self._known()
        if ring.log != log:
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
        await asyncio.shield(look)

    async def _catch_up(self) -> None:
        await self._in_thread(self._log.catch_up)

    async def _from_table(
        self, log: str, position: int, upto: int, topic: str | None, count: Count
    ) -> Sequence[Event]:
        def read() -> Page:
            count()
            return self._log.page(position, upto, topic, PAGE)

        page = await self._in_thread(read)
        # Looked at after the events: what was removed meanwhile is noticed.
        if page.head.log != log or page.head.oldest > position + 1:
            raise WindowPassed
        return page.events

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


def _place(after: str, ring: Ring) -> int:
    try:
        log, position = events.read_cursor(after)
    except ValueError:
        raise BadRequest("This is no cursor of an event.") from None
    if log != ring.log or position > ring.position:
        raise WindowPassed
    return position
