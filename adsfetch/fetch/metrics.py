"""What a run cost: calls, retries by cause, waiting, and how long a call takes."""

import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Counts that many threads add to."""

    def __init__(self) -> None:
        self.retries: Counter[str] = Counter()
        self._seconds: list[float] = []
        self._lock = threading.Lock()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Time one call, however it ends."""
        start = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._seconds.append(time.perf_counter() - start)

    def retry(self, cause: str) -> None:
        """Count one more try, under the name of what made it necessary."""
        with self._lock:
            self.retries[cause] += 1

    @property
    def calls(self) -> int:
        """Return how many calls were made."""
        return len(self._seconds)

    @property
    def busy(self) -> float:
        """Return the seconds of all calls together: what one worker would have needed."""
        return sum(self._seconds)

    def percentiles(self) -> tuple[float, float]:
        """Return the median and the 95th percentile of a call in seconds."""
        if len(self._seconds) < 2:  # noqa: PLR2004 - quantiles need two points
            only = self._seconds[0] if self._seconds else 0.0
            return only, only
        cuts = statistics.quantiles(self._seconds, n=20, method="inclusive")
        return cuts[9], cuts[18]
