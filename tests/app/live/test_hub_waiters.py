"""Waiting followers: cancellation, shared reads, and the ring buffer."""

import asyncio
import contextlib

import pytest

from app.events.log import LogHead
from app.live.hub import RING_SIZE, Hub, RingBuffer
from tests.app.live.event_listener import new_event
from tests.app.live.followed_log import OTHER, TOPIC


def test_cancelled_followers_leave_no_waiter(hub):
    async def scenario(log):
        await log.catch_up()
        topics = [TOPIC, OTHER, None] * 10
        asleep = [asyncio.create_task(anext(log.follow(topic=topic))) for topic in topics]
        await log.waiting(30)
        for task in asleep[:-1]:
            task.cancel()
        await log.waiting(1)
        assert list(log.hub.waiters) == [None]
        log.write(1)
        await log.catch_up()
        assert (await asleep[-1]).position == 1
        assert not log.hub.waiters

    hub(scenario)


def test_a_follower_that_is_cancelled_while_it_wakes_leaves_no_waiter(hub):
    async def scenario(log):
        await log.catch_up()
        one = asyncio.create_task(anext(log.follow()))
        two = asyncio.create_task(anext(log.follow()))
        await log.waiting(2)
        log.hub.publish([new_event(1, TOPIC)])
        one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await one
        assert (await two).position == 1
        assert not log.hub.waiters

    hub(scenario)


def test_simultaneous_new_followers_share_a_read(hub):
    async def scenario(log):
        log.write(1)
        reads = 0
        catch_up = log.reader.catch_up

        def counted():
            nonlocal reads
            reads += 1
            catch_up()

        shared = Hub(counted, log.engine, asyncio.to_thread)
        log.hub = shared
        await log.catch_up()
        found = [shared.follow(None, log.cursor(0), lambda: None) for _ in range(50)]
        first = await asyncio.gather(*map(anext, found))
        assert {event.position for _, event in first} == {1}
        assert reads <= 2
        for followed in found:
            await followed.aclose()

    hub(scenario)


def test_the_ring_buffer_stores_the_newest_events_without_gaps():
    ring = RingBuffer(LogHead("log", 0, 1))
    assert ring.since(0) == []
    for start in range(1, RING_SIZE + 11, 10):
        ring.append([new_event(position) for position in range(start, start + 10)])
    newest = ring.position
    assert ring.since(newest) == []
    assert [found.position for found in ring.since(newest - 3)] == [
        newest - 2,
        newest - 1,
        newest,
    ]
    assert ring.since(newest - RING_SIZE) is not None
    assert ring.since(newest - RING_SIZE - 1) is None
    with pytest.raises(ValueError, match="does not follow"):
        ring.append([new_event(newest + 2)])
    ring.append([])
    assert ring.position == newest
