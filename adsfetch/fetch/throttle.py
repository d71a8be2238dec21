"""The throttle that all workers of a run share, so that they slow down together."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Stopped(Exception):
    """The run is over; the worker drops its day."""


@dataclass(frozen=True)
class Permit:
    """The right to make one call; ``generation`` is the number of pauses before it."""

    generation: int


@dataclass(frozen=True)
class Waiter:
    """A worker that waits for a permit, in the order of arrival."""

    number: int
    first_call: bool


class Throttle:
    """Limit concurrent calls; pause them all on a rate limit, and continue with fewer.

    Each pause halves the number of concurrent calls, each full round of successes adds one.
    ``refusals`` counts the pauses since the last success, ``paused_seconds`` is their total time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = self.limit = workers
        self.paused_seconds = 0.0
        self.successes = self.refusals = 0
        self._active = self._streak = self._generation = self._arrivals = 0
        self._resume_at = 0.0
        self._closed = False
        self._waiters: list[Waiter] = []
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        """Return how many workers wait for a permit."""
        return len(self._waiters)

    @contextmanager
    def acquire(self, *, first_call: bool = True) -> Iterator[Permit]:
        """Wait for a permit, hold it during the call, and learn from the outcome of the call.

        ``first_call`` says that the day of this worker was not called before.
        """
        permit = self._enter(first_call=first_call)
        try:
            yield permit
        except BaseException:
            self._leave(succeeded=False)
            raise
        self._leave(succeeded=True)

    def pause(self, seconds: float, permit: Permit) -> None:
        """Pause all calls for ``seconds``.

        Calls that ran at the same time and met the same rate limit halve the limit only once.
        """
        with self._changed:
            now = time.monotonic()
            end = max(self._resume_at, now + seconds)
            self.paused_seconds += end - max(self._resume_at, now)
            self._resume_at = end
            if permit.generation == self._generation:
                self._generation += 1
                self.refusals += 1
                self._streak = 0
                self.limit = max(1, self.limit // 2)
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts; raise Stopped as soon as the run is over."""
        with self._changed:
            if self._changed.wait_for(lambda: self._closed, seconds):
                raise Stopped

    def close(self) -> None:
        """End every wait with Stopped; no more permits are given."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _enter(self, *, first_call: bool) -> Permit:
        with self._changed:
            self._arrivals += 1
            waiter = Waiter(self._arrivals, first_call)
            self._waiters.append(waiter)
            try:
                while (seconds := self._seconds_to_wait(waiter)) != 0:
                    self._changed.wait(seconds)
                self._active += 1
            finally:
                self._waiters.remove(waiter)
                self._changed.notify_all()
            return Permit(self._generation)

    def _seconds_to_wait(self, waiter: Waiter) -> float | None:
        """Return 0 for a permit now, None to wait until something changes."""
        if self._closed:
            raise Stopped
        if (pause := self._resume_at - time.monotonic()) > 0:
            return pause
        return 0 if self._active < self.limit and waiter is self._next_waiter() else None

    def _next_waiter(self) -> Waiter:
        """Return who gets the next permit: the first that came.

        While nothing succeeds, days not called yet precede retries: their call may show that
        not the quota but the authorisation is at fault. After a success they do not, or new
        days would hold back a retry for as long as the run lasts.
        """
        if self.refusals:
            return min(self._waiters, key=lambda waiter: (not waiter.first_call, waiter.number))
        return self._waiters[0]

    def _leave(self, *, succeeded: bool) -> None:
        with self._changed:
            self._active -= 1
            if succeeded:
                self._record_success()
            self._changed.notify_all()

    def _record_success(self) -> None:
        self.successes += 1
        self.refusals = 0
        self._streak += 1
        if self._streak >= self.limit < self.workers:
            self._streak = 0
            self.limit += 1
