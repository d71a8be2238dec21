"""Metrics of the calls of a run: how many, how long, and which errors were retried."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from adsfetch.errors import AdsError, one_line


class CallMetrics:
    """Counters that many threads update: ``durations`` in seconds, ``retries`` by cause."""

    def __init__(self) -> None:
        self.durations: list[float] = []
        self.retries: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def time_call(self) -> Iterator[None]:
        """Record the duration of one call, also if it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self.durations.append(time.perf_counter() - start)

    def count_retry(self, error: BaseException | None) -> None:
        cause = error.cause if isinstance(error, AdsError) else type(error).__name__
        with self._lock:
            self.retries[one_line(str(cause))] += 1

    def percentiles(self) -> tuple[float, float]:
        """Return the median and the 95th percentile of a call in seconds."""
        if len(self.durations) < 2:  # noqa: PLR2004 - quantiles need two points
            only = self.durations[0] if self.durations else 0.0
            return only, only
        cuts = statistics.quantiles(self.durations, n=20, method="inclusive")
        return cuts[9], cuts[18]
