"""The days that a run fetches, by account, and in which order; what becomes of each."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from heapq import heapify, heappop, heappush
from random import randrange
from typing import Any, Generic, TypeVar

from adsfetch.errors import (
    FatalError,
    QueryError,
    SourceDownError,
    UnavailableError,
    describe,
)
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.sources import FetchData

Kept = TypeVar("Kept")
MAX_FAILURES_IN_A_ROW = 32  # or twice the workers
MAX_REFUSALS_IN_A_ROW = 3  # of days that failed by an error which would concern every day
MAX_REFUSED_QUERIES = 10  # of as many accounts, before the query is at fault and not they


@dataclass(frozen=True, slots=True)
class DayReport(Generic[Kept]):
    """A day that was fetched; ``rows`` is what ``keep`` returned for its rows."""

    day: date
    rows: Kept
    tries: int = 1


@dataclass(frozen=True, slots=True)
class DayFailure:
    """A day that failed, and its last error."""

    day: date
    error: Exception
    tries: int = 1

    @property
    def reason(self) -> str:
        """Return the error in one line, which is never empty."""
        return describe(self.error)


Outcome = DayReport[Kept] | DayFailure


class FailureStreak:
    """The failures since the last day that the source had something to say about."""

    def __init__(self) -> None:
        self.failures: list[DayFailure] = []
        self.succeeded = False

    def count(self, outcome: Outcome[Any]) -> None:
        if isinstance(outcome, DayFailure) and not isinstance(outcome.error, UnavailableError):
            self.failures.append(outcome)
        else:
            self.failures.clear()
            self.succeeded = True

    def pick(self, number: int) -> int:
        """Return the index of the next day of some, oldest first: the newest, if none has failed.

        Otherwise the oldest or any: they show whether it is the days that fail or the source.
        """
        if not self.failures:
            return -1
        return 0 if len(self.failures) % 2 else randrange(number)  # noqa: S311 - no secret

    def refusal(self, count: int) -> FatalError | None:
        """Return the last error if the last ``count`` ones would concern every day."""
        latest = [failure.error for failure in self.failures[-count:]]
        refusals = [error for error in latest if isinstance(error, FatalError)]
        return refusals[-1] if len(refusals) == count else None

    def source_down(self, limit: int) -> SourceDownError | None:
        """Return an error if so many days have failed that the source must be down."""
        if len(self.failures) < limit:
            return None
        return SourceDownError(
            f"{len(self.failures)} days failed one after another, the last with "
            f"{self.failures[-1].reason}; the source seems to be down: run the same command "
            "again later"
        )


@dataclass(eq=False)
class Job(Generic[Kept]):
    """Days of one account: what fetches them, and what keeps their rows.

    ``days`` are those that are not started yet, the next one last. ``today`` is the account's.
    ``error`` is what ended the job before all of its days were tried. The queue sets ``number``.
    """

    fetch_data: FetchData
    days: list[date]
    keep: Callable[[date, Iterable[Any]], Kept]
    timeout: float | None = 120.0
    metrics: CallMetrics = field(default_factory=CallMetrics)
    today: date | None = None
    failures: FailureStreak = field(default_factory=FailureStreak)
    error: FatalError | None = None
    resume_at: float = 0.0
    begun: bool = False
    number: int = 0

    def __post_init__(self) -> None:
        self.days = sorted(set(self.days), key=self.rank)

    def rank(self, day: date) -> float:
        """Return a number that is higher the earlier a day is fetched.

        The newest day is the first one, but yesterday, which is complete, precedes today.
        """
        return day.toordinal() - 1.5 * (day == self.today)

    def pause(self, seconds: float) -> None:
        """Start no other day of this account for a while."""
        self.resume_at = max(self.resume_at, time.monotonic() + seconds)


class JobQueue(Generic[Kept]):
    """The days that are not started yet, of all accounts; the newest ones come first.

    With several accounts a job ends by itself, so that one dead account stops no other. Its first
    day is waited for, so that a dead account costs one call.
    """

    def __init__(self, jobs: Sequence[Job[Kept]], workers: int) -> None:
        self._jobs = jobs
        for number, job in enumerate(jobs):
            job.number = number
        self._several = len(jobs) > 1
        self._limit = max(MAX_FAILURES_IN_A_ROW, 2 * workers)
        self._failures = FailureStreak()  # of all jobs, without refusals of single accounts
        self._failing: set[int] = set()  # the jobs of these failures
        self._heap = [_entry(job) for job in jobs if job.days]
        heapify(self._heap)
        self._paused: list[tuple[float, int, Job[Kept]]] = []
        self._unanswered: set[int] = set()  # jobs whose first day has no outcome yet

    def __bool__(self) -> bool:
        return any(job.days for _, _, job in (*self._heap, *self._paused))

    def next(self) -> tuple[Job[Kept], date] | None:
        """Return the next day, and forget it; None if there is none now."""
        now = time.monotonic()
        paused, self._paused = self._paused, []
        for entry in paused:
            heappush(self._heap, entry)
        while self._heap:
            entry = heappop(self._heap)
            job = entry[2]
            if job.resume_at > now or job.number in self._unanswered:
                self._paused.append(entry)
            elif job.days:
                if self._several and not job.begun:
                    self._unanswered.add(job.number)
                job.begun = True
                day = job.days.pop(job.failures.pick(len(job.days)))
                if job.days:
                    heappush(self._heap, _entry(job))
                return job, day
        return None

    @property
    def held_back(self) -> int:
        """Return how many days cannot start now: their account is paused or not yet answered."""
        return sum(len(job.days) for _, _, job in self._paused)

    def seconds_to_wait(self) -> float | None:
        """Return how long it takes until a paused job goes on; None if no job is paused."""
        now = time.monotonic()
        waits = [job.resume_at - now for _, _, job in self._paused if job.days]
        return min((seconds for seconds in waits if seconds > 0), default=None)

    def count(self, job: Job[Kept], outcome: Outcome[Kept]) -> int:
        """Count an outcome; return how many days are dropped, because it ends their job."""
        job.failures.count(outcome)
        refused = isinstance(outcome, DayFailure) and isinstance(outcome.error, FatalError)
        if not (self._several and refused):
            self._failures.count(outcome)
            self._failing.add(id(job))
        if not self._failures.failures:
            self._failing.clear()
        if not self._several or job.error:
            return 0
        self._unanswered.discard(job.number)
        # A first call that is refused says that the account is closed, or not ours.
        refusals = MAX_REFUSALS_IN_A_ROW if job.failures.succeeded else 1
        job.error = job.failures.refusal(refusals) or job.failures.source_down(self._limit)
        dropped = len(job.days) if job.error else 0
        del job.days[len(job.days) - dropped :]
        return dropped

    def check(self) -> None:
        """Raise the error that ends the run when too many days have failed in a row."""
        error: FatalError | None = None
        if not self._several or len(self._failing) > 1:
            error = self._failures.source_down(self._limit)
        if not self._several:
            error = self._failures.refusal(MAX_REFUSALS_IN_A_ROW) or error
        elif not self._failures.succeeded:
            refused = [job.error for job in self._jobs if isinstance(job.error, QueryError)]
            error = error or (refused[-1] if len(refused) >= MAX_REFUSED_QUERIES else None)
        if error:
            raise error


def _entry(job: Job[Any]) -> tuple[float, int, Job[Any]]:
    return -job.rank(job.days[-1]), job.number, job
