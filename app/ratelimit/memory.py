"""Token counts in this process, used without Redis and while Redis is unavailable."""

import time
from array import array
from threading import Lock

from app.ratelimit.window import MAX_FRACTION, Grant, UnusedTokens, Window

MAX_CLIENTS = 20_000
"""About 500 bytes each."""
OVERFLOW_CLIENT = "others"


class MemoryStore:
    """Counts one process's part of the quota; any of the ``workers`` processes may see a client.

    Beyond MAX_CLIENTS, all new clients share one quota, which bounds the memory.
    """

    def __init__(self, window: Window, workers: int) -> None:
        self._window = window
        self._quota = max(1, window.quota // workers)
        self._counts: dict[str, _SlidingCount] = {}
        self._last_sweep = 0
        self._lock = Lock()

    def take(self, client: str, requested: int, unused: UnusedTokens | None) -> Grant:
        """Return ``unused`` tokens, then count up to ``requested`` tokens for ``client``."""
        with self._lock:
            now = time.monotonic()
            current = int(now / self._window.slice_seconds)
            count = self._count_of(client, current)
            count.advance(current)
            if unused is not None:
                count.subtract(unused)
            free = self._quota - count.total
            granted = min(requested, max(1, int(free * MAX_FRACTION))) if free > 0 else 0
            count.add(current, granted)
            # The oldest tokens stop counting when this slice begins.
            reset = count.oldest() + self._window.counted_slices
            resets_after = reset * self._window.slice_seconds - now
            return Grant(granted, max(0, free - granted), current, resets_after)

    def _count_of(self, client: str, current: int) -> "_SlidingCount":
        if client in self._counts:
            return self._counts[client]
        if len(self._counts) >= MAX_CLIENTS:
            self._sweep(current)
        if len(self._counts) >= MAX_CLIENTS:
            client = OVERFLOW_CLIENT
        return self._counts.setdefault(client, _SlidingCount(self._window.counted_slices, current))

    def _sweep(self, current: int) -> None:
        """Remove clients without counted tokens, at most once per slice."""
        if current != self._last_sweep:
            self._last_sweep = current
            oldest = current - self._window.counted_slices
            self._counts = {name: c for name, c in self._counts.items() if c.newest > oldest}


class _SlidingCount:
    """The tokens of one client by slice, in a ring of the counted slices."""

    __slots__ = ("newest", "ring", "total")

    def __init__(self, counted_slices: int, current: int) -> None:
        self.ring = array("I", bytes(4 * counted_slices))
        self.newest = current
        self.total = 0

    def advance(self, current: int) -> None:
        size = len(self.ring)
        for passed in range(max(self.newest + 1, current - size + 1), current + 1):
            self.total -= self.ring[passed % size]
            self.ring[passed % size] = 0
        self.newest = max(self.newest, current)

    def add(self, at: int, tokens: int) -> None:
        self.ring[at % len(self.ring)] += tokens
        self.total += tokens

    def subtract(self, unused: UnusedTokens) -> None:
        if unused.slice > self.newest - len(self.ring):
            counted = self.ring[unused.slice % len(self.ring)]
            self.add(unused.slice, -min(unused.tokens, counted))

    def oldest(self) -> int:
        """Return the oldest slice with tokens, or the newest slice if there are none."""
        size = len(self.ring)
        first = self.newest - size + 1
        return next((at for at in range(first, self.newest) if self.ring[at % size]), self.newest)
