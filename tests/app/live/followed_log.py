"""An event log with a hub that follows it."""

import asyncio
from contextlib import aclosing
from typing import Any

from flask import Flask
from sqlalchemy import text

from app.events import log as events
from app.events.log import LogHead, NewEvent
from app.extensions import db
from app.live.event_reader import EventReader
from app.live.hub import Hub
from app.services import services_of
from tests.waiting import PATIENCE

TOPIC = "book:1:reviews"
OTHER = "book:2:reviews"


class FollowedLog:
    """A log in a database and a hub; events reach the hub when ``catch_up`` is awaited."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._loop = asyncio.get_running_loop()
        self.engine = services_of(app).autocommit_engine
        self.reader = EventReader(services_of(app), self._on_events, self._on_reset)
        self.hub = Hub(self.reader.catch_up, self.engine, asyncio.to_thread)

    def _on_events(self, new: Any) -> None:
        self._loop.call_soon_threadsafe(self.hub.publish, new)

    def _on_reset(self, head: LogHead, recent: Any) -> None:
        self._loop.call_soon_threadsafe(self.hub.reset, head, recent)

    def write(self, count: int, topic: str = TOPIC) -> None:
        """Commit events that do not reach Redis."""
        with self._app.app_context():
            events.append([NewEvent("review.created", topic, {})] * count)
            db.session.commit()

    def run(self, statement: str) -> None:
        with self.engine.connect() as connection:
            connection.execute(text(statement))

    async def catch_up(self) -> None:
        """Publish the written events in the hub."""
        await asyncio.to_thread(self.reader.catch_up)

    def cursor(self, position: int) -> str:
        return events.format_cursor(events.head(self.engine).log, position)

    async def follow(
        self, after: str | None = None, topic: str | None = TOPIC, count: Any = lambda: None
    ) -> Any:
        keys = None if topic is None else frozenset([topic])
        async with aclosing(self.hub.follow(keys, after, count)) as followed:
            async for _, event in followed:
                yield event

    async def positions(self, followed: Any, count: int) -> list[int]:
        async with asyncio.timeout(PATIENCE):
            return [(await anext(followed)).position for _ in range(count)]

    async def waiting(self, count: int) -> None:
        """Wait until this number of followers waits for events."""
        async with asyncio.timeout(PATIENCE):
            while sum(map(len, self.hub.waiters.values())) != count:
                await asyncio.sleep(0.005)
