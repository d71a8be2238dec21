"""The metrics of all workers, and gauges of what each of them holds.

The gauges (database connections, responses in memory, its breaker) are read once a second in each
worker, and at each scrape by the one that responds, so they cost a request nothing.
"""

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

from prometheus_client import Gauge, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy import Pool, QueuePool

from app.cache.memory import ResponseMemory
from app.redis.circuit_breaker import CircuitBreaker

UPDATE_SECONDS = 1.0


def _gauge(name: str, description: str) -> Gauge:
    return Gauge(f"bookstall_{name}", description, multiprocess_mode="livesum")


POOL_IN_USE = _gauge("pool_in_use", "Connections to the database that are in use")
POOL_SIZE = _gauge("pool_size", "Connections to the database that there may be")
BREAKER_OPEN = _gauge("breaker_open", "Workers whose circuit breaker of Redis is open")
MEMORY_BYTES = _gauge("memory_bytes", "Bytes of the responses in the memory of the workers")
MEMORY_ENTRIES = _gauge("memory_entries", "Responses in the memory of the workers")


class WorkerGauges:
    """Sets the gauges of this process; a pool that counts no connections shows none."""

    def __init__(self, pool: Pool, breaker: CircuitBreaker | None) -> None:
        self._pool = pool if isinstance(pool, QueuePool) else None
        self._breaker = breaker
        self._memory: ResponseMemory[Any] | None = None

    def watch_memory(self, memory: ResponseMemory[Any]) -> None:
        """Also show the responses in ``memory``."""
        self._memory = memory

    def update(self) -> None:
        """Set all gauges to what is true now."""
        POOL_IN_USE.set(self._pool.checkedout() if self._pool else 0)
        POOL_SIZE.set(_size(self._pool) if self._pool else 0)
        BREAKER_OPEN.set(self._breaker is not None and not self._breaker.closed)
        MEMORY_BYTES.set(self._memory.size if self._memory else 0)
        MEMORY_ENTRIES.set(len(self._memory) if self._memory else 0)

    def update_periodically(self) -> None:
        """Update the gauges once a second, in a thread: other workers respond to scrapes too."""
        Thread(target=self._update_for_ever, name="gauges", daemon=True).start()

    def _update_for_ever(self) -> None:
        while True:
            self.update()
            time.sleep(UPDATE_SECONDS)


class AllWorkers(Collector):
    """The sums over all workers, from the files of their metrics in a folder."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        """Return the metrics.

        A worker that starts creates its files empty: MultiProcessCollector.collect would fail.
        """
        files: list[str] = []
        for path in self._folder.glob("*.db"):
            with suppress(FileNotFoundError):  # its worker has just ended
                if path.stat().st_size:
                    files.append(str(path))
        metrics: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return metrics


def _size(pool: QueuePool) -> int:
    # On SQLite a pool opens more than its size where more are needed.
    return max(pool.size(), pool.checkedin() + pool.checkedout())
