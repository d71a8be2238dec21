"""Requests beyond a rate limit: refused, or with RATE_LIMIT_TRIAL only counted and logged."""

import logging
import time
from threading import Lock

from prometheus_client import Counter

from app.errors import TooManyRequests

LINE_SECONDS = 60.0
"""At most one line for each client in this time."""
MAX_CLIENTS = 10_000
"""Clients about whom a line was written lately; with more of them, some get lines more often."""
BEYOND = Counter(
    "bookstall_rate_limited_total",
    "Requests beyond a rate limit",
    ["kind", "outcome"],
)
for _kind in ("read", "write"):  # so that the first one shows as an increase
    for _outcome in ("refused", "served"):
        BEYOND.labels(_kind, _outcome)
log = logging.getLogger("bookstall.limits")


class Refusals:
    """Refuses what is beyond a limit; in a trial it counts and logs it instead."""

    def __init__(self, *, trial: bool) -> None:
        self.trial = trial
        self._lock = Lock()
        self._lines: dict[tuple[str, str], tuple[float, int]] = {}
        """For each client and kind: when its next line is due, and what it will report."""

    def refuse(self, client: str, kind: str, retry_after: int) -> None:
        """Raise TooManyRequests; in a trial return."""
        BEYOND.labels(kind, "served" if self.trial else "refused").inc()
        if not self.trial:
            raise TooManyRequests(retry_after)
        with self._lock:
            due_at, count = self._lines.get((client, kind), (0.0, 0))
            is_due = time.monotonic() >= due_at
            if is_due and len(self._lines) >= MAX_CLIENTS:
                self._lines.clear()
            next_line = (time.monotonic() + LINE_SECONDS, 0) if is_due else (due_at, count + 1)
            self._lines[client, kind] = next_line
        if is_due:
            what, _, name = client.partition(" ")
            log.warning(
                "would have been refused: %d %s requests of this %s since its last such line",
                count + 1,
                kind,
                what,
                extra={"key" if what == "key" else "client": name},
            )
