"""The response cache of SQLite without Redis: in the memory of each process.

The processes share nothing but the database, whose change log tells each of them what is stale.
"""

import sqlite3
import time
from collections.abc import Sequence

from sqlalchemy import Engine

from app.cache.change_log import ChangeLog
from app.cache.memory import MIB, MemoryEntry, ResponseMemory
from app.cache.read_through import CallView, is_shareable
from app.config import Settings
from app.http.response import OK, BufferedResponse
from app.single_flight import SingleFlight

NO_REDIS = "fwd=bypass; detail=no-redis"


class LocalCache:
    """The responses of one process, and the log that tells which are stale.

    The ``validity`` of an entry is a position: no tag of it was invalidated up to there.
    """

    def __init__(self, memory: ResponseMemory[int], log: ChangeLog, ttl: float) -> None:
        self.memory = memory
        self._log = log
        self._ttl = ttl
        self._single_flight = SingleFlight()

    def find(self, key: str) -> MemoryEntry[int] | None:
        """Return a response that is current now; None if there is none."""
        entry = self.memory.get(key)
        if entry is None:
            return None
        try:
            if self.is_current(entry):
                return entry
        except sqlite3.Error:
            return None
        self.memory.discard(key, entry)
        return None

    def is_current(self, entry: MemoryEntry[int]) -> bool:
        """Return whether no tag of ``entry`` was invalidated by a write before this call.

        Raise sqlite3.Error if the database cannot be read at once.
        """
        position = self._log.catch_up()
        if entry.validity != position:
            if not self._log.is_unchanged(entry.tags, entry.validity):
                return False
            entry.validity = position
        return True

    def fill(
        self, key: str, route: str, tags: Sequence[str], call_view: CallView
    ) -> tuple[BufferedResponse, str]:
        """Call the view, once for all who wait; return the response and its cache status."""
        try:
            position = self._log.catch_up()
        except sqlite3.Error:
            return call_view()[0], NO_REDIS

        def call_and_keep() -> BufferedResponse:
            expires_at = time.monotonic() + self._ttl
            response, fine_tags = call_view()
            if response.status == OK:
                # A copy of the exact size: the encoder's own is the beginning of a longer block,
                # whose rest nothing else fits into. It would double the memory of an entry.
                response.body = bytes(memoryview(response.body))
                end = min(expires_at, response.expires_at)
                entry = MemoryEntry(response, route, fine_tags or tags, end, position)
                self.memory.put(key, entry)
            return response

        # A reader joins a running query only if no write was committed since that began.
        response, joined = self._single_flight.do((key, position), call_and_keep)
        if joined and not is_shareable(response):
            return call_view()[0], NO_REDIS
        return response, NO_REDIS


def make_local_cache(settings: Settings, engine: Engine) -> LocalCache | None:
    """Return the cache of this process, if the database is a file of SQLite and the cache is on."""
    is_file = engine.dialect.name == "sqlite" and engine.url.database not in {None, "", ":memory:"}
    if not is_file or not settings.cache_memory_mib:
        return None
    memory = ResponseMemory[int](settings.cache_memory_mib * MIB)
    return LocalCache(memory, ChangeLog(engine), settings.cache_ttl)
