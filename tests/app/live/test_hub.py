"""Followers of the hub, each at its own position, over a real database."""

import asyncio
from contextlib import aclosing

import pytest

from app.errors import BadRequest, WindowPassed
from app.live.hub import PAGE_SIZE, RING_SIZE
from tests.app.live.followed_log import OTHER, TOPIC


def test_a_follower_without_a_cursor_starts_with_new_events(hub):
    async def scenario(log):
        log.write(3)
        async with aclosing(log.follow()) as followed:
            first = asyncio.create_task(anext(followed))
            await log.waiting(1)
            log.write(1)
            await log.catch_up()
            assert (await first).position == 4

    hub(scenario)


@pytest.mark.parametrize("topic", [TOPIC, None])
def test_a_recent_cursor_is_resumed_from_memory(hub, topic):
    async def scenario(log):
        log.write(2)
        log.write(1, OTHER)
        log.write(1)
        await log.catch_up()
        log.run("DELETE FROM event")  # only the ring buffer has the events now
        async with aclosing(log.follow(log.cursor(1), topic)) as followed:
            expected = [2, 4] if topic else [2, 3, 4]
            assert await log.positions(followed, len(expected)) == expected

    hub(scenario)


@pytest.mark.parametrize("topic", [TOPIC, None])
def test_an_old_cursor_is_resumed_from_the_table_page_by_page(hub, topic):
    async def scenario(log):
        log.write(PAGE_SIZE + 10)
        log.write(5, OTHER)
        log.write(RING_SIZE + PAGE_SIZE)
        total = 2 * PAGE_SIZE + RING_SIZE + 15
        await log.catch_up()
        async with aclosing(log.follow(log.cursor(0), topic)) as followed:
            found = await log.positions(followed, total - (5 if topic else 0))
            assert found == sorted(set(found))
            assert found[-1] == total
            log.write(1)
            await log.catch_up()
            assert await log.positions(followed, 1) == [total + 1]

    hub(scenario)


def test_each_read_of_the_table_is_counted(hub):
    async def scenario(log):
        log.write(RING_SIZE + 2 * PAGE_SIZE)
        await log.catch_up()
        counted = []
        followed = log.follow(log.cursor(0), TOPIC, lambda: counted.append(1))
        async with aclosing(followed):
            await log.positions(followed, RING_SIZE + 2 * PAGE_SIZE)
        assert 2 <= len(counted) <= 5

    hub(scenario)


def test_a_slow_follower_catches_up_and_delays_nobody(hub):
    async def scenario(log):
        await log.catch_up()
        async with aclosing(log.follow()) as slow, aclosing(log.follow()) as quick:
            begun = asyncio.create_task(anext(slow))
            await log.waiting(1)
            log.write(1)
            await log.catch_up()
            assert (await begun).position == 1
            reading = asyncio.create_task(anext(quick))
            await log.waiting(1)
            for _ in range(3):
                log.write(RING_SIZE // 2 + 1)
                await log.catch_up()
            total = 1 + 3 * (RING_SIZE // 2 + 1)
            assert (await reading).position == 2
            assert await log.positions(quick, total - 2) == list(range(3, total + 1))
            assert await log.positions(slow, total - 1) == list(range(2, total + 1))

    hub(scenario)


def test_a_follower_that_waits_through_events_of_other_books_misses_nothing(hub):
    async def scenario(log):
        await log.catch_up()
        async with aclosing(log.follow(log.cursor(0))) as followed:
            first = asyncio.create_task(anext(followed))
            await log.waiting(1)
            for _ in range(4):
                log.write(RING_SIZE, OTHER)
                await log.catch_up()
            log.write(2)
            await log.catch_up()
            assert (await first).position == 4 * RING_SIZE + 1
            assert await log.positions(followed, 1) == [4 * RING_SIZE + 2]

    hub(scenario)


@pytest.mark.parametrize("place", ["", "nonsense", "0123456789abcdef-x", "-1", "1"])
def test_an_invalid_cursor_is_a_bad_request(hub, place):
    async def scenario(log):
        async with aclosing(log.follow(place)) as followed:
            with pytest.raises(BadRequest):
                await anext(followed)

    hub(scenario)


def test_cursors_that_cannot_be_resumed_raise_window_passed(hub):
    async def scenario(log):
        log.write(RING_SIZE + 10)
        await log.catch_up()
        log.run("DELETE FROM event WHERE position <= 5")
        purged, stored = log.follow(log.cursor(4)), log.follow(log.cursor(5))
        future, foreign = log.follow(log.cursor(RING_SIZE + 11)), log.follow(f"{'0' * 16}-1")
        for followed in (purged, future, foreign):
            async with aclosing(followed):
                with pytest.raises(WindowPassed):
                    await anext(followed)
        async with aclosing(stored):
            assert await log.positions(stored, 1) == [6]

    hub(scenario)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event_head SET log = 'ffffffffffffffff'",
        "UPDATE event_head SET position = 1",
    ],
)
def test_waiting_followers_fail_when_the_log_was_replaced_or_restored(hub, change):
    async def scenario(log):
        log.write(3)
        await log.catch_up()
        async with aclosing(log.follow()) as followed:
            waiting = asyncio.create_task(anext(followed))
            await log.waiting(1)
            log.run("DELETE FROM event WHERE position > 1")
            log.run(change)
            await log.catch_up()
            with pytest.raises(WindowPassed):
                await waiting
        async with aclosing(log.follow()) as followed:
            again = asyncio.create_task(anext(followed))
            await log.waiting(1)
            log.write(1)
            await log.catch_up()
            assert (await again).topic == TOPIC

    hub(scenario)
