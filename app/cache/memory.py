"""Finished responses in the memory of one process, bounded in bytes (CACHE_MEMORY_MIB)."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from app.http.response import BufferedResponse

MIB = 1_048_576
PROTECTED_PART = 0.8
"""The part of the memory for entries that were used again. The others compete for the rest, so
that many URLs that are requested once cannot displace those that are requested often."""
ENTRY_BYTES = 1_200
"""What an entry takes besides its body, headers and tags."""
PAIR_BYTES = 150
"""What a header or a tag takes besides its text."""


V = TypeVar("V")


@dataclass(slots=True, eq=False)
class MemoryEntry(Generic[V]):
    """A response, and what decides whether it is still current."""

    response: BufferedResponse
    route: str
    """The rule that the request matched."""
    tags: Sequence[str]
    expires_at: float
    """By ``time.monotonic()``."""
    validity: V
    """What the tags were when the response was made, as its cache keeps that."""

    def size(self) -> int:
        """Return about how many bytes the entry takes."""
        parts = len(self.response.headers) + len(self.tags)
        return ENTRY_BYTES + len(self.response.body) + PAIR_BYTES * parts


class ResponseMemory(Generic[V]):
    """A segmented LRU cache: threads and the event loop share it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._new: OrderedDict[str, MemoryEntry[V]] = OrderedDict()
        self._used_again: OrderedDict[str, MemoryEntry[V]] = OrderedDict()
        self.size = 0
        self._used_again_size = 0

    def get(self, key: str) -> MemoryEntry[V] | None:
        """Return the entry of ``key``, if it has not expired."""
        with self._lock:
            entry = self._used_again.get(key)
            if entry is not None:
                self._used_again.move_to_end(key)
            elif (entry := self._new.pop(key, None)) is not None:
                self._used_again[key] = entry
                self._used_again_size += entry.size()
                self._demote()
            if entry is not None and time.monotonic() >= entry.expires_at:
                self._remove(key)
                return None
            return entry

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._new) + len(self._used_again)

    def put(self, key: str, entry: MemoryEntry[V]) -> None:
        """Store an entry; replace that of the same key."""
        with self._lock:
            segment = self._used_again if key in self._used_again else self._new
            self._remove(key)
            segment[key] = entry
            self.size += entry.size()
            if segment is self._used_again:
                self._used_again_size += entry.size()
                self._demote()
            while self.size > self._max_bytes:
                self._remove(next(iter(self._new or self._used_again)))

    def discard(self, key: str, entry: MemoryEntry[V]) -> None:
        """Remove ``entry``, unless another one has taken its place."""
        with self._lock:
            if entry is (self._new.get(key) or self._used_again.get(key)):
                self._remove(key)

    def _remove(self, key: str) -> None:
        entry = self._new.pop(key, None)
        if entry is None and (entry := self._used_again.pop(key, None)) is not None:
            self._used_again_size -= entry.size()
        if entry is not None:
            self.size -= entry.size()

    def _demote(self) -> None:
        while self._used_again_size > PROTECTED_PART * self._max_bytes:
            key, entry = self._used_again.popitem(last=False)
            self._used_again_size -= entry.size()
            self._new[key] = entry
