"""A circuit breaker: while the other side fails, most requests skip it instead of waiting."""

import time
from collections.abc import Callable
from threading import Lock

OPEN_SECONDS = 1.0


class CircuitBreaker:
    """Opens at the first failure, then allows one request in each ``open_seconds``.

    Reading a closed breaker takes no lock, because every request does it. Why not a library:
    docs/decisions/0003-circuit-breaker.md.
    """

    def __init__(
        self, open_seconds: float = OPEN_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_seconds = open_seconds
        self._clock = clock
        self._retry_at: float | None = None
        self._priority_used = False
        self._lock = Lock()

    @property
    def closed(self) -> bool:
        """Whether all requests are allowed."""
        return self._retry_at is None

    def allow_request(self, *, priority: bool = False) -> bool:
        """Return whether this request may try; while open, one in each period may.

        One with ``priority`` may try in each period even if another one has: writes must not stay
        away from Redis for longer than that, see app/cache/lease.py.
        """
        return self.closed or self._allow_while_open(priority)

    def _allow_while_open(self, priority: bool) -> bool:
        with self._lock:
            retry_at = self._retry_at
            if retry_at is None:
                return True
            if self._clock() >= retry_at:
                self._retry_at = self._clock() + self._open_seconds
                self._priority_used = priority
                return True
            allowed = priority and not self._priority_used
            self._priority_used |= priority
            return allowed

    def record_success(self) -> None:
        """Close: allow all requests again."""
        if self._retry_at is not None:
            with self._lock:
                self._retry_at = None

    def record_failure(self) -> None:
        """Open for a period."""
        with self._lock:
            if self._retry_at is None:
                self._priority_used = False
            self._retry_at = self._clock() + self._open_seconds
