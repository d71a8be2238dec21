"""The throttle that all workers of a run share, so that they slow down together."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopped(Exception):
    """The run is over; the worker drops its day."""


class Throttle:
    """Limit concurrent calls; pause them all on a rate limit, and continue with fewer.

    A pause halves ``limit``; as many successes as the limit then add one to it, up to ``workers``
    (AIMD). ``refusals`` counts the pauses since the last success, ``paused_seconds`` is the total
    time of all pauses.

    It also knows how many of the days that hold a worker were not refused yet: before a refusal
    of some is taken to concern all, the first calls of the others must have ended.
    """

    def __init__(self, workers: int) -> None:
        self.workers = self.limit = workers
        self.paused_seconds = 0.0
        self.successes = self.refusals = 0
        self._active = self._streak = self._pauses = self._arrivals = 0
        self._resume_at = 0.0
        self._closed = self._draining = False
        self._threads = self._begun = self._days_left = self._first_refusals = 0
        self._held_back = 0
        self._waiters: list[tuple[int, bool]] = []  # arrival number, whether a first call
        self._changed = threading.Condition()

    @property
    def waiting(self) -> int:
        return len(self._waiters)

    @contextmanager
    def acquire(self, *, first_call: bool = True) -> Iterator[int]:
        """Wait for a permit and hold it during a call; yield the number of pauses so far.

        ``first_call`` is false for a retry. A call that raises is not a success.
        """
        pauses, succeeded = self._enter(first_call=first_call), False
        try:
            yield pauses
            succeeded = True
        finally:
            self._leave(succeeded=succeeded)

    def pause(self, seconds: float, pauses: int) -> None:
        """Pause all calls for ``seconds``; ``pauses`` is what ``acquire`` yielded to the call.

        Calls that ran at the same time and met the same rate limit halve the limit only once.
        """
        with self._changed:
            now = time.monotonic()
            end = max(self._resume_at, now + seconds)
            self.paused_seconds += end - max(self._resume_at, now)
            self._resume_at = end
            if pauses == self._pauses:
                self._pauses += 1
                self.refusals += 1
                self._streak = 0
                self.limit = max(1, self.limit // 2)
            self._changed.notify_all()

    def sleep(self, seconds: float) -> None:
        """Wait between two attempts; raise Stopped as soon as the run is over."""
        with self._changed:
            if self._changed.wait_for(lambda: self._closed or self._draining, seconds):
                raise Stopped

    def close(self) -> None:
        """End every wait with Stopped; no more permits are given."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def start(self, threads: int, days: int) -> None:
        """Begin with this number of days; successes of calls before them prove nothing."""
        with self._changed:
            self.workers, self.limit = min(self.workers, threads), min(self.limit, threads)
            self._threads, self._days_left, self.successes = threads, days, 0

    def begin_day(self, *, dropped: bool = False) -> None:
        """Raise Stopped if the day is dropped, or no other may begin; a thread's first one may."""
        with self._changed:
            if dropped or self._closed or (self._draining and self._begun >= self._threads):
                raise Stopped
            self._begun += 1

    def end_day(self) -> None:
        """Count a day that has been fetched, has failed, or was stopped."""
        with self._changed:
            self._days_left -= 1
            self._changed.notify_all()

    def drop_days(self, count: int) -> None:
        """Forget days that are not going to begin."""
        with self._changed:
            self._days_left -= count
            self._changed.notify_all()

    def hold_back(self, days: int) -> None:
        """Set how many days wait for others of their account, and so hold no thread."""
        with self._changed:
            self._held_back = days
            self._changed.notify_all()

    def count_first_refusal(self, change: int) -> None:
        """Add a call whose first attempt was refused, or (-1) forget it when it has ended."""
        with self._changed:
            self._first_refusals += change
            self._changed.notify_all()

    def any_success(self, since: int) -> bool:
        """Return whether there were more than ``since`` successes, after all first calls."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self.successes > since or not self._first_calls
            )
            if self._closed:
                raise Stopped
            return self.successes > since

    def drain(self) -> None:
        """Begin no other day and no retry, and wait until all first calls have ended."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closed or not self._first_calls)
            if self._closed:
                raise Stopped

    @property
    def _first_calls(self) -> int:
        """Return how many days hold a thread and have not ended their first call."""
        days = self._days_left - self._held_back
        return max(0, min(self._threads, days) - self._first_refusals)

    def _enter(self, *, first_call: bool) -> int:
        with self._changed:
            self._arrivals += 1
            waiter = (self._arrivals, first_call)
            self._waiters.append(waiter)
            try:
                while (seconds := self._seconds_to_wait(waiter)) != 0:
                    self._changed.wait(seconds)
                self._active += 1
            finally:
                self._waiters.remove(waiter)
                self._changed.notify_all()
            return self._pauses

    def _seconds_to_wait(self, waiter: tuple[int, bool]) -> float | None:
        """Return 0 for a permit now, None to wait until something changes.

        The next permit is for the worker that came first. But while nothing succeeds, first calls
        precede retries: one of them may show that the authorisation, not the quota, is at fault.
        After a success they do not, or retries would wait until all days had been called.
        """
        if self._closed or (self._draining and not waiter[1]):
            raise Stopped
        if (pause := self._resume_at - time.monotonic()) > 0:
            return pause
        first_calls = [waiter for waiter in self._waiters if waiter[1]] if self.refusals else []
        is_next = waiter == (first_calls or self._waiters)[0]
        return 0 if self._active < self.limit and is_next else None

    def _leave(self, *, succeeded: bool) -> None:
        with self._changed:
            self._active -= 1
            if succeeded:
                self.successes += 1
                self.refusals = 0
                self._streak += 1
                if self._streak >= self.limit < self.workers:
                    self._streak = 0
                    self.limit += 1
            self._changed.notify_all()
