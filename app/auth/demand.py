"""How many requests each client sends in a minute: `flask limits suggest` proposes quotas from it.

The workers of one master count together, in a table in memory that they share. The first request
of a minute adds the counts of the one before to a histogram in /metrics.
"""

import time
from pathlib import Path
from zlib import crc32

from app.http.instrumentation import BatchHistogram
from app.ratelimit.memory import SharedMemory

SECONDS = 60
SLOTS = 65_536
"""Clients are counted by the hash of their name; of 1,000 in a minute 15 share one with another."""
HEAD_BYTES = 8
"""The number of the minute that is counted, before the counts of four bytes each."""
# fmt: off
BUCKETS = (
    1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1_000, 1_500, 2_000,
    3_000, 5_000, 7_000, 10_000, 15_000, 20_000, 30_000, 50_000, 70_000, 100_000,
)
# fmt: on
METRIC = "bookstall_client_minute_requests"
REQUESTS = BatchHistogram(
    METRIC, "Requests of one client in one minute, refused ones included", ["kind"], buckets=BUCKETS
)


class Demand:
    """Counts the requests of one kind, without a lock: a few may be lost where processes race."""

    def __init__(self, kind: str, folder: Path | None) -> None:
        path = folder / f"demand-{kind}" if folder else None
        self._memory = SharedMemory(path, HEAD_BYTES + 4 * SLOTS)
        self._minute_counted = self._memory.bytes[:HEAD_BYTES].cast("Q")
        self._counts = self._memory.bytes[HEAD_BYTES:].cast("I")
        self._histogram = REQUESTS.labels(kind)
        self._minute = 0

    def record(self, client: str, requests: int = 1) -> None:
        """Count a request of ``client``, or one that counts as several."""
        self.complete_minute()
        self._counts[crc32(client.encode()) % SLOTS] += requests

    def complete_minute(self) -> None:
        """Add the counts of a minute that is over to the histogram, unless that is done."""
        minute = int(time.monotonic() / SECONDS)  # the same for all processes of a host
        if minute == self._minute:
            return
        with self._memory.locked():
            if self._minute_counted[0] < minute:
                self._minute_counted[0] = minute
                counts = [count for count in self._counts.tolist() if count]
                self._counts[:] = memoryview(bytes(4 * SLOTS)).cast("I")
                self._histogram.observe_all(counts)
        self._minute = minute
