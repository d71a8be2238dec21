"""The hub: everybody at a position of its own, over a real database, in one event loop."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, text, update

from app.db.engine import autocommit_engine
from app.errors import BadRequest, WindowPassed
from app.events import log as events
from app.events.log import Event, EventHead, LogPosition, StoredEvent
from app.extensions import db
from app.live.event_reader import EventReader
from app.live.hub import PAGE_SIZE, RING_SIZE, Hub, RingBuffer

TOPIC = "book:1:reviews"
OTHER = "book:2:reviews"


class Followed:
    """A log in a database, and a hub over it; events reach the hub when ``look`` is awaited."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._loop = asyncio.get_running_loop()
        self.hub: Hub
        with app.app_context():
            self.engine = autocommit_engine()
        self.reader = EventReader(app, self._deliver, self._reset)
        self.hub = Hub(self.reader.catch_up, self.engine, asyncio.to_thread)

    def _deliver(self, new: Any) -> None:
        self._loop.call_soon_threadsafe(self.hub.publish, new)

    def _reset(self, head: LogPosition, recent: Any) -> None:
        self._loop.call_soon_threadsafe(self.hub.reset, head, recent)

    def write(self, count: int, topic: str = TOPIC) -> None:
        """Commit events that nobody is told of."""
        with self._app.app_context():
            _, first = events.append(topic, {})
            following = range(first.position + 1, first.position + count)
            rows = [{"position": place, "topic": topic, "payload": "{}"} for place in following]
            if rows:  # all at once: one by one they would take seconds
                db.session.execute(insert(StoredEvent), rows)
                db.session.execute(update(EventHead).values(position=following[-1]))
            db.session.commit()

    def run(self, statement: str) -> None:
        with self.engine.connect() as connection:
            connection.execute(text(statement))

    async def look(self) -> None:
        """Bring what was written to the hub."""
        await asyncio.to_thread(self.reader.catch_up)

    def cursor(self, position: int) -> str:
        return events.format_cursor(events.head(self.reader._engine).log, position)

    async def follow(
        self, after: str | None = None, topic: str | None = TOPIC, count: Any = lambda: None
    ) -> Any:
        async with aclosing(self.hub.follow(topic, after, count)) as followed:
            async for _, event in followed:
                yield event

    async def positions(self, followed: Any, count: int) -> list[int]:
        async with asyncio.timeout(10):
            return [(await anext(followed)).position for _ in range(count)]

    async def asleep(self, count: int) -> None:
        """Wait until so many followers sleep."""
        async with asyncio.timeout(10):
            while sum(map(len, self.hub._waiting.values())) != count:
                await asyncio.sleep(0.005)


@pytest.fixture
def hub(app: Flask) -> Callable[[Callable[[Followed], Coroutine[Any, Any, None]]], None]:
    """Run a story of a hub."""

    def run(story: Callable[[Followed], Coroutine[Any, Any, None]]) -> None:
        async def told() -> None:
            await story(Followed(app))

        asyncio.run(told())

    return run


def test_who_names_no_place_starts_with_what_comes(hub):
    async def story(log):
        log.write(3)
        async with aclosing(log.follow()) as followed:
            first = asyncio.create_task(anext(followed))
            await log.asleep(1)
            log.write(1)
            await log.look()
            assert (await first).position == 4

    hub(story)


@pytest.mark.parametrize("topic", [TOPIC, None])
def test_a_place_is_resumed_from_memory(hub, topic):
    async def story(log):
        log.write(2)
        log.write(1, OTHER)
        log.write(1)
        await log.look()
        log.run("DELETE FROM event")  # memory has to do
        async with aclosing(log.follow(log.cursor(1), topic)) as followed:
            expected = [2, 4] if topic else [2, 3, 4]
            assert await log.positions(followed, len(expected)) == expected

    hub(story)


@pytest.mark.parametrize("topic", [TOPIC, None])
def test_a_place_further_behind_is_resumed_from_the_table_page_by_page(hub, topic):
    async def story(log):
        log.write(PAGE_SIZE + 10)
        log.write(5, OTHER)
        log.write(RING_SIZE + PAGE_SIZE)
        total = 2 * PAGE_SIZE + RING_SIZE + 15
        await log.look()
        async with aclosing(log.follow(log.cursor(0), topic)) as followed:
            found = await log.positions(followed, total - (5 if topic else 0))
            assert found == sorted(set(found))
            assert found[-1] == total
            log.write(1)
            await log.look()
            assert await log.positions(followed, 1) == [total + 1]

    hub(story)


def test_each_look_into_the_table_is_counted(hub):
    async def story(log):
        log.write(RING_SIZE + 2 * PAGE_SIZE)
        await log.look()
        counted = []
        followed = log.follow(log.cursor(0), TOPIC, lambda: counted.append(1))
        async with aclosing(followed):
            await log.positions(followed, RING_SIZE + 2 * PAGE_SIZE)
        assert 2 <= len(counted) <= 5

    hub(story)


def test_a_slow_follower_catches_up_and_delays_nobody(hub):
    async def story(log):
        await log.look()
        async with aclosing(log.follow()) as slow, aclosing(log.follow()) as quick:
            begun = asyncio.create_task(anext(slow))
            await log.asleep(1)
            log.write(1)
            await log.look()
            assert (await begun).position == 1
            reading = asyncio.create_task(anext(quick))
            await log.asleep(1)
            for _ in range(3):
                log.write(RING_SIZE // 2 + 1)
                await log.look()
            total = 1 + 3 * (RING_SIZE // 2 + 1)
            assert (await reading).position == 2
            assert await log.positions(quick, total - 2) == list(range(3, total + 1))
            assert await log.positions(slow, total - 1) == list(range(2, total + 1))

    hub(story)


def test_who_sleeps_through_other_books_misses_nothing(hub):
    async def story(log):
        await log.look()
        async with aclosing(log.follow(log.cursor(0))) as followed:
            first = asyncio.create_task(anext(followed))
            await log.asleep(1)
            for _ in range(4):
                log.write(RING_SIZE, OTHER)
                await log.look()
            log.write(2)
            await log.look()
            assert (await first).position == 4 * RING_SIZE + 1
            assert await log.positions(followed, 1) == [4 * RING_SIZE + 2]

    hub(story)


@pytest.mark.parametrize("place", ["", "nonsense", "0123456789abcdef-x", "-1", "1"])
def test_what_is_no_cursor_is_a_bad_request(hub, place):
    async def story(log):
        async with aclosing(log.follow(place)) as followed:
            with pytest.raises(BadRequest):
                await anext(followed)

    hub(story)


def test_places_that_cannot_be_resumed_say_that_the_window_has_passed(hub):
    async def story(log):
        log.write(RING_SIZE + 10)
        await log.look()
        log.run("DELETE FROM event WHERE position <= 5")
        gone, kept = log.follow(log.cursor(4)), log.follow(log.cursor(5))
        future, foreign = log.follow(log.cursor(RING_SIZE + 11)), log.follow(f"{'0' * 16}-1")
        for followed in (gone, future, foreign):
            async with aclosing(followed):
                with pytest.raises(WindowPassed):
                    await anext(followed)
        async with aclosing(kept):
            assert await log.positions(kept, 1) == [6]

    hub(story)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event_head SET log = 'ffffffffffffffff'",
        "UPDATE event_head SET position = 1",
    ],
)
def test_sleepers_are_told_when_the_log_was_replaced_or_put_back(hub, change):
    async def story(log):
        log.write(3)
        await log.look()
        async with aclosing(log.follow()) as followed:
            waiting = asyncio.create_task(anext(followed))
            await log.asleep(1)
            log.run("DELETE FROM event WHERE position > 1")
            log.run(change)
            await log.look()
            with pytest.raises(WindowPassed):
                await waiting
        async with aclosing(log.follow()) as followed:
            again = asyncio.create_task(anext(followed))
            await log.asleep(1)
            log.write(1)
            await log.look()
            assert (await again).topic == TOPIC

    hub(story)


def test_followers_that_are_cancelled_leave_nothing_behind(hub):
    async def story(log):
        await log.look()
        topics = [TOPIC, OTHER, None] * 10
        asleep = [asyncio.create_task(anext(log.follow(topic=topic))) for topic in topics]
        await log.asleep(30)
        for task in asleep[:-1]:
            task.cancel()
        await log.asleep(1)
        assert list(log.hub._waiting) == [None]
        log.write(1)
        await log.look()
        assert (await asleep[-1]).position == 1
        assert not log.hub._waiting

    hub(story)


def test_a_follower_that_is_cancelled_as_it_is_woken_leaves_nothing_behind(hub):
    async def story(log):
        await log.look()
        one = asyncio.create_task(anext(log.follow()))
        two = asyncio.create_task(anext(log.follow()))
        await log.asleep(2)
        log.hub.publish([Event(1, TOPIC, b"{}")])
        one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one
        assert (await two).position == 1
        assert not log.hub._waiting

    hub(story)


def test_many_who_come_at_once_share_a_look(hub):
    async def story(log):
        log.write(1)
        looks = 0
        catch_up = log.reader.catch_up

        def counted():
            nonlocal looks
            looks += 1
            catch_up()

        shared = Hub(counted, log.engine, asyncio.to_thread)
        log.hub = shared
        await log.look()
        found = [shared.follow(TOPIC, log.cursor(0), lambda: None) for _ in range(50)]
        first = await asyncio.gather(*map(anext, found))
        assert {event.position for _, event in first} == {1}
        assert looks <= 2
        for followed in found:
            await followed.aclose()

    hub(story)


def test_the_ring_keeps_the_newest_without_a_gap():
    def event(position):
        return Event(position, TOPIC if position % 2 else OTHER, b"{}")

    ring = RingBuffer(LogPosition("log", 0, 1))
    assert ring.since(0, None) == []
    for start in range(1, RING_SIZE + 11, 10):
        ring.add([event(position) for position in range(start, start + 10)])
    newest = ring.position
    assert ring.since(newest, None) == []
    assert [found.position for found in ring.since(newest - 3, None)] == [
        newest - 2,
        newest - 1,
        newest,
    ]
    assert [found.position for found in ring.since(newest - 3, TOPIC)] == [newest - 1]
    assert ring.since(newest - RING_SIZE, None) is not None
    assert ring.since(newest - RING_SIZE - 1, None) is None
    with pytest.raises(ValueError, match="does not follow"):
        ring.add([event(newest + 2)])
    ring.add([])
    assert ring.position == newest
