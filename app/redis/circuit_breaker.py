"""A circuit breaker: while the other side is away, its users are kept from waiting for it."""

import time
from collections.abc import Callable
from threading import Lock

OPEN_SECONDS = 1.0


class Breaker:
    """Opens at the first failure, then lets one caller through each ``open_seconds``.

    Kept small on purpose, see docs/decisions/0003-circuit-breaker.md: reading a closed breaker
    takes no lock, as every request does it.
    """

    def __init__(
        self,
        open_seconds: float = OPEN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_seconds = open_seconds
        self._clock = clock
        self._retry_at: float | None = None
        self._urgent_tried = False
        self._lock = Lock()

    @property
    def closed(self) -> bool:
        """Tell whether all callers may pass."""
        return self._retry_at is None

    def allows(self, *, urgent: bool = False) -> bool:
        """Tell whether this caller may try; while open, that is one caller in each period.

        One ``urgent`` caller in each period is let through beside it.
        """
        return self.closed or self._takes_a_turn(urgent)

    def _takes_a_turn(self, urgent: bool) -> bool:
        with self._lock:
            retry_at = self._retry_at
            if retry_at is None:
                return True
            if self._clock() >= retry_at:
                self._retry_at = self._clock() + self._open_seconds
                self._urgent_tried = urgent
                return True
            first = urgent and not self._urgent_tried
            self._urgent_tried |= urgent
            return first

    def succeeded(self) -> None:
        """Let all callers pass again."""
        if self._retry_at is not None:
            with self._lock:
                self._retry_at = None

    def failed(self) -> None:
        """Keep all callers away for a period."""
        with self._lock:
            if self._retry_at is None:
                self._urgent_tried = False
            self._retry_at = self._clock() + self._open_seconds
