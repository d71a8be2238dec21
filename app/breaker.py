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
        self._lock = Lock()

    @property
    def closed(self) -> bool:
        """Tell whether all callers may pass."""
        return self._retry_at is None

    def allows(self) -> bool:
        """Tell whether this caller may try; while open, that is one caller at a time."""
        return self.closed or self._takes_the_turn()

    def _takes_the_turn(self) -> bool:
        with self._lock:
            if self._retry_at is None:
                return True
            if self._clock() < self._retry_at:
                return False
            self._retry_at = self._clock() + self._open_seconds
            return True

    def succeeded(self) -> None:
        """Let all callers pass again."""
        self._retry_at = None

    def failed(self) -> None:
        """Keep all callers away for a while."""
        with self._lock:
            self._retry_at = self._clock() + self._open_seconds
