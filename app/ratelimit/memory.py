"""Token counts in memory, used without Redis and while Redis is unavailable.

The workers of one master share a table in a file that is mapped into memory. A process without a
master has a table of its own.
"""

import fcntl
import hashlib
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from mmap import mmap
from pathlib import Path
from threading import Lock

from app.ratelimit.window import MAX_FRACTION, Grant, UnusedTokens, Window

MAX_CLIENTS = 20_000
"""About 300 bytes each."""
MAX_PROBES = 64
"""How many entries are searched for a client, one after another from where its hash points to."""
LOCK_SECONDS = 0.05
"""Longer than any process needs the lock: one that is suspended with it is not waited for."""
HEAD = struct.Struct("=16sQ")
"""The hash of the client, and the newest slice in which it was counted."""
NOBODY = bytes(16)


class SharedMemory:
    """Memory of all processes that map the file at ``path``; of this process if it is None."""

    def __init__(self, path: Path | None, size: int) -> None:
        self._lock = Lock()
        if path is not None:  # two releases, while workers are replaced, may differ in the size
            path = path.with_name(f"{path.name}-{size}")
        # Never closed: POSIX locks end when any descriptor of their file is closed.
        self._file = -1 if path is None else os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if path is not None:
            os.ftruncate(self._file, size)
        self.bytes = memoryview(mmap(self._file, size))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of the threads, and that of the processes: the kernel frees it if one dies.

        A process that is suspended keeps its lock: then the others go on without.
        """
        with self._lock:
            if self._file < 0:
                yield
                return
            until = time.monotonic() + LOCK_SECONDS
            while not self._try_lock() and time.monotonic() < until:
                time.sleep(0.0005)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def _try_lock(self) -> bool:
        with suppress(BlockingIOError):
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False


class MemoryStore:
    """Counts the tokens of all workers that use the file at ``path``; of this process if None.

    Beyond MAX_CLIENTS, all new clients share one quota, which bounds the memory.
    """

    def __init__(self, window: Window, path: Path | None = None) -> None:
        self._window = window
        self._entry_size = HEAD.size + 4 * window.counted_slices
        self._memory = SharedMemory(path, (MAX_CLIENTS + 1) * self._entry_size)

    def take(
        self, client: str, requested: int, unused: UnusedTokens | None, minimum: int = 1
    ) -> Grant:
        """Return ``unused`` tokens, then count tokens for ``client``: ``minimum`` to ``requested``.

        If fewer are free, none is counted, and the grant tells when ``minimum`` will be.
        """
        with self._memory.locked():
            now = time.monotonic()
            current = int(now / self._window.slice_seconds)
            entry = self._entry_of(client, current)
            entry.advance(current)
            if unused is not None:
                entry.subtract(unused)
            free = self._window.quota - entry.total()
            share = max(minimum, int(free * MAX_FRACTION))
            granted = min(requested, share) if free >= minimum else 0
            entry.add(current, granted)
            # The oldest tokens stop counting when this slice begins.
            leaving = entry.oldest() if granted else entry.oldest(minimum - free)
            reset = leaving + self._window.counted_slices
            resets_after = reset * self._window.slice_seconds - now
            return Grant(granted, max(0, free - granted), current, resets_after)

    def _entry_of(self, client: str, current: int) -> "_SlidingCount":
        digest = hashlib.blake2b(client.encode(), digest_size=16).digest()
        start, free = int.from_bytes(digest[:8]), None
        for probe in range(min(MAX_PROBES, MAX_CLIENTS)):
            entry = self._entry((start + probe) % MAX_CLIENTS)
            if entry.digest == digest:
                return entry
            is_unused = entry.digest == NOBODY
            # The clock may have begun with the machine, less than a window ago.
            if free is None and (
                is_unused or entry.newest + self._window.counted_slices <= current
            ):
                free = entry
            if is_unused:
                break
        if free is None:  # the last entry counts all others
            return self._entry(MAX_CLIENTS)
        free.begin(digest, current)
        return free

    def _entry(self, number: int) -> "_SlidingCount":
        memory = self._memory.bytes
        return _SlidingCount(memory, number * self._entry_size, self._window.counted_slices)


class _SlidingCount:
    """The tokens of one client by slice, in a ring of the counted slices.

    The ring comes before the head: a process that dies in between leaves no wrong count.
    """

    __slots__ = ("_memory", "_offset", "_ring", "digest", "newest")
    digest: bytes
    newest: int

    def __init__(self, memory: memoryview, offset: int, counted_slices: int) -> None:
        self._memory, self._offset = memory, offset
        self.digest, self.newest = HEAD.unpack_from(memory, offset)
        ring = offset + HEAD.size
        self._ring = memory[ring : ring + 4 * counted_slices].cast("I")

    def begin(self, digest: bytes, current: int) -> None:
        self._clear(range(len(self._ring)))
        self.digest, self.newest = digest, current
        self._write_head()

    def advance(self, current: int) -> None:
        size = len(self._ring)
        if current > self.newest:
            self._clear(range(max(self.newest + 1, current - size + 1), current + 1))
            self.newest = current
            self._write_head()

    def add(self, at: int, tokens: int) -> None:
        self._ring[at % len(self._ring)] += tokens

    def subtract(self, unused: UnusedTokens) -> None:
        if unused.slice > self.newest - len(self._ring):
            counted = self._ring[unused.slice % len(self._ring)]
            self.add(unused.slice, -min(unused.tokens, counted))

    def total(self) -> int:
        return sum(self._ring)

    def oldest(self, tokens: int = 1) -> int:
        """Return the slice up to which so many tokens are counted; the newest if there are less."""
        size, counted = len(self._ring), 0
        for at in range(self.newest - size + 1, self.newest):
            counted += self._ring[at % size]
            if counted >= tokens:
                return at
        return self.newest

    def _clear(self, slices: range) -> None:
        for at in slices:
            self._ring[at % len(self._ring)] = 0

    def _write_head(self) -> None:
        HEAD.pack_into(self._memory, self._offset, self.digest, self.newest)
