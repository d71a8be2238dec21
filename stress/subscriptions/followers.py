"""Followers that disconnect at random and resume where they were, in one thread for all."""

import asyncio
import contextlib
import random
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import orjson

from stress.http_client import HttpClient, get
from stress.subscriptions.records import FollowerRecord

MEAN_LIFETIME = 2.5
"""Seconds until a follower closes a connection, on average."""
RECONNECT_PAUSE = 0.6
"""Seconds until the next connection, at most."""
Message = dict[str, Any]


class ConnectionEnded(Exception):
    """The service closed a connection, or it broke; the message says how in a few words."""


@dataclass(frozen=True)
class Way:
    """How a follower behaves, apart from its transport."""

    port: int
    rng: random.Random
    stay_connected: threading.Event
    resumes: bool = True
    """Whether it sends the cursor of its last event when it connects again."""
    receiver: str = "127.0.0.1"
    """The address of a receiver of webhooks."""


class Follower:
    """One follower; a subclass for each transport defines ``follow``."""

    def __init__(self, record: FollowerRecord, way: Way) -> None:
        self.record, self.way = record, way
        self.cursor: str | None = None
        self._connected = False

    def follow(self) -> AsyncGenerator[Message, None]:
        """Connect, and yield each event as it is received; raise ConnectionEnded at the end."""
        raise NotImplementedError

    async def run(self, delay: float) -> None:
        """Follow until cancelled; disconnect at random until ``stay_connected`` is set."""
        await asyncio.sleep(delay)
        if self.record.uses_cursor:
            self.record.start = self.cursor = await asyncio.to_thread(newest_cursor, self.way.port)
        while True:
            try:
                await self._connect_once()
            except ConnectionEnded as ended:
                self.record.closed.append((time.monotonic(), str(ended)))
            await asyncio.sleep(self.way.rng.uniform(0, RECONNECT_PAUSE))

    async def _connect_once(self) -> None:
        self._connected = False
        if not self.way.resumes:
            self.cursor = None
        receiving = asyncio.create_task(self._receive_events())
        try:
            lifetime = self.way.rng.expovariate(1 / MEAN_LIFETIME)
            done, _ = await asyncio.wait([receiving], timeout=lifetime)
            # The last connection stays: every follower has to receive the last events.
            if not done and self.way.stay_connected.is_set():
                await asyncio.wait([receiving])
            self.record.drops += self._connected and not receiving.done()
        finally:
            receiving.cancel()
            # To await it directly would hide that this task is cancelled too: it would go on.
            await asyncio.wait([receiving])
        if not receiving.cancelled():
            receiving.result()

    async def _receive_events(self) -> None:
        async with aclosing(self.follow()) as events:
            async for event in events:
                self.add(event)

    def add(self, event: Message) -> None:
        """Record an event."""
        self.cursor = event["cursor"]
        self.record.events.append(event)

    def set_connected(self) -> None:
        """Record that a connection is open."""
        self._connected = True
        self.record.connections += 1


def newest_cursor(port: int) -> str:
    """Request the newest cursor until there is a response."""
    while True:
        client = HttpClient(port)
        response = client.request(get("/changes?after=now"))
        client.close()
        if response is not None and response.status == 200:
            return str(orjson.loads(response.body)["cursor"])
        time.sleep(0.1)


class FollowerThread:
    """Run all followers on an event loop in one thread."""

    def __init__(self, followers: Sequence[Follower], delays: Sequence[float]) -> None:
        self._pairs = list(zip(followers, delays, strict=True))
        self._errors: list[BaseException] = []
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "FollowerThread":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._run_all())
            except asyncio.CancelledError:
                pass
            except BaseException as error:  # noqa: BLE001 - raised in __exit__
                self._errors.append(error)

    async def _run_all(self) -> None:
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            for follower, delay in self._pairs:
                group.create_task(follower.run(delay))
