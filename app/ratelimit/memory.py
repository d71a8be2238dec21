"""Tokens counted in this process: while Redis is away, or where there is none."""

import time
from array import array
from threading import Lock

from app.ratelimit.window import SHARE, Grant, Unspent, Window

CLIENTS_MOST = 20_000
"""About 500 bytes each."""
OTHERS = "others"


class MemoryStore:
    """Counts the share of one of ``workers`` processes, each of which may see any client.

    When too many clients are there, all newcomers count as one: memory stays bounded, and the
    quota holds.
    """

    def __init__(self, window: Window, workers: int) -> None:
        self._window = window
        self._quota = max(1, window.quota // workers)
        self._counts: dict[str, _Count] = {}
        self._swept = 0
        self._lock = Lock()

    def take(self, client: str, ask: int, back: Unspent | None) -> Grant:
        """Count up to ``ask`` tokens for ``client``, after ``back`` is counted off."""
        with self._lock:
            now = time.monotonic()
            at = int(now / self._window.slice)
            count = self._count(client, at)
            count.advance(at)
            if back is not None:
                count.take_back(back)
            free = self._quota - count.total
            size = min(ask, max(1, free // SHARE)) if free > 0 else 0
            count.add(at, size)
            ends = (count.oldest() + self._window.counted) * self._window.slice
            return Grant(size, max(0, free - size), at, ends - now)

    def _count(self, client: str, at: int) -> "_Count":
        if client in self._counts:
            return self._counts[client]
        if len(self._counts) >= CLIENTS_MOST:
            self._sweep(at)
        if len(self._counts) >= CLIENTS_MOST:
            client = OTHERS
        return self._counts.setdefault(client, _Count(self._window.counted, at))

    def _sweep(self, at: int) -> None:
        """Forget, once in a slice, the clients whose tokens count no more."""
        if at == self._swept:
            return
        self._swept = at
        oldest = at - self._window.counted
        self._counts = {name: c for name, c in self._counts.items() if c.newest > oldest}


class _Count:
    """The tokens of one client, by slices; the ring holds as many as count."""

    __slots__ = ("newest", "ring", "total")

    def __init__(self, counted: int, at: int) -> None:
        self.ring = array("I", bytes(4 * counted))
        self.newest = at
        self.total = 0

    def advance(self, at: int) -> None:
        size = len(self.ring)
        for passed in range(max(self.newest + 1, at - size + 1), at + 1):
            self.total -= self.ring[passed % size]
            self.ring[passed % size] = 0
        self.newest = max(self.newest, at)

    def add(self, at: int, tokens: int) -> None:
        self.ring[at % len(self.ring)] += tokens
        self.total += tokens

    def take_back(self, unspent: Unspent) -> None:
        if unspent.slice > self.newest - len(self.ring):
            counted = self.ring[unspent.slice % len(self.ring)]
            self.add(unspent.slice, -min(unspent.size, counted))

    def oldest(self) -> int:
        """Return the oldest slice with a token in it, else the newest slice."""
        size = len(self.ring)
        first = self.newest - size + 1
        return next((at for at in range(first, self.newest) if self.ring[at % size]), self.newest)
