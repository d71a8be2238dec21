"""The event reader and the hub of one event loop, connected; and how it calls what blocks."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app.events.log import Event, LogHead
from app.live.event_reader import EventReader
from app.live.hub import Hub, RunInThread
from app.services import Services

log = logging.getLogger(__name__)


class Feed:
    """Brings all new events to the followers of ``hub``.

    ``count`` is called in the loop with the number of events that arrived.
    """

    def __init__(
        self,
        services: Services,
        in_thread: RunInThread,
        count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._reader = EventReader(services, self._on_events, self._on_reset)
        self.hub = Hub(self._reader.catch_up, services.autocommit_engine, in_thread)
        self._count = count
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start to read, for the event loop that runs; do nothing if it has started."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._reader.start()

    async def stop(self) -> None:
        await asyncio.to_thread(self._reader.stop)

    def _on_events(self, events: Sequence[Event]) -> None:
        self._call_in_loop(self._publish, events)

    def _publish(self, events: Sequence[Event]) -> None:
        try:
            self.hub.publish(events)
        except ValueError:  # a gap: the hub would reject all later events too
            log.exception("an event was lost on its way to the hub: the log is read again")
            self._reader.restart()
        self._count(len(events))

    def _on_reset(self, head: LogHead, recent: Sequence[Event]) -> None:
        self._call_in_loop(self.hub.reset, head, recent)

    def _call_in_loop(self, call: Callable[..., Any], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def run_in(threads: ThreadPoolExecutor) -> RunInThread:
    """Return what runs a call in one of ``threads``."""

    async def run(call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)

    return run
