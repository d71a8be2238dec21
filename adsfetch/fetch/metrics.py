"""Metrics of the calls of a run: how many, how long, and which errors were retried."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class CallMetrics:
    """Counters that many threads update; ``retries`` is by cause."""

    def __init__(self) -> None:
        self.retries: Counter[str] = Counter()
        self._durations: list[float] = []
        self._lock = threading.Lock()

    @contextmanager
    def time_call(self) -> Iterator[None]:
        """Record the duration of one call, also if it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._durations.append(time.perf_counter() - start)

    def count_retry(self, cause: str) -> None:
        """Count one retry under the name of the error that caused it."""
        with self._lock:
            self.retries[cause] += 1

    @property
    def calls(self) -> int:
        """Return how many calls were made."""
        return len(self._durations)

    @property
    def total_seconds(self) -> float:
        """Return the durations of all calls together: what one worker would have needed."""
        return sum(self._durations)

    def percentiles(self) -> tuple[float, float]:
        """Return the median and the 95th percentile of a call in seconds."""
        if len(self._durations) < 2:  # noqa: PLR2004 - quantiles need two points
            only = self._durations[0] if self._durations else 0.0
            return only, only
        cuts = statistics.quantiles(self._durations, n=20, method="inclusive")
        return cuts[9], cuts[18]
