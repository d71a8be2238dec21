"""Fetch a range of days on a pool of threads; each day becomes a DayReport or a DayFailure."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from random import randrange
from typing import Any, Generic, TypeVar

from adsfetch.errors import (
    DayError,
    FatalError,
    QuotaError,
    SourceDownError,
    TokenExpiredError,
    UnavailableError,
    UnconfirmedError,
    describe,
)
from adsfetch.fetch.isolation import IsAbandoned, call_isolated, read_rows
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.retry import RetriedCall, Retry, fatal_form
from adsfetch.fetch.throttle import Stopped, Throttle
from adsfetch.sources import FetchData

Kept = TypeVar("Kept")
MAX_FAILURES_IN_A_ROW = 32  # or twice the workers
MAX_REFUSALS_IN_A_ROW = 3  # of days that failed by an error which would concern every day


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


def as_list(_day: date, rows: Iterable[Any]) -> list[Any]:
    """Keep the rows of a day in memory."""
    return list(rows)


def fetch_days(
    fetch_data: FetchData,
    days: Iterable[date],
    *,
    keep: Callable[[date, Iterable[Any]], Kept] = as_list,  # type: ignore[assignment]
    workers: int = 16,
    timeout: float | None = 120.0,
    retry: Retry = Retry(),  # noqa: B008 - frozen
    metrics: CallMetrics | None = None,
    throttle: Throttle | None = None,
) -> Generator[Outcome[Kept], None, None]:
    """Yield a DayReport or a DayFailure for each day; the newest days start first.

    ``keep(day, rows)`` runs in the same worker as ``fetch_data``; what it returns becomes the
    report's ``rows``. A call of both is abandoned after ``timeout`` seconds. A fatal error is
    raised after the days that were done by then. At most two days for each worker are queued.
    Raise SourceDownError when so many days in a row have failed that the source must be down;
    the days that are not tried then are not yielded.
    """
    fetcher = DayFetcher(
        fetch_data, keep, timeout, retry, metrics or CallMetrics(), throttle or Throttle(workers)
    )
    todo, streak = sorted(set(days)), FailureStreak(workers)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ads-day")
    running: set[Future[Outcome[Kept]]] = set()
    fetcher.throttle.start(workers, len(todo))
    try:
        while todo or running:
            while todo and len(running) < 2 * workers:
                running.add(pool.submit(fetcher.fetch_day, todo.pop(streak.pick(len(todo)))))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            if any(map(ends_run, done)):
                fetcher.stop()
                done, running = done | wait(running).done, set()  # days that end just now count
            for outcome in outcomes(done):
                streak.count(outcome)
                yield outcome
            streak.check()
    finally:
        fetcher.stop()
        pool.shutdown(cancel_futures=True)


class FailureStreak:
    """The failures since the last day that the source had something to say about."""

    def __init__(self, workers: int) -> None:
        self.failures: list[DayFailure] = []
        self._limit = max(MAX_FAILURES_IN_A_ROW, 2 * workers)

    def count(self, outcome: Outcome[Any]) -> None:
        if isinstance(outcome, DayFailure) and not isinstance(outcome.error, UnavailableError):
            self.failures.append(outcome)
        else:
            self.failures.clear()

    def pick(self, number: int) -> int:
        """Return the index of the next day of some, oldest first: the newest, if none has failed.

        Otherwise the oldest or any: they show whether it is the days that fail or the source.
        """
        if not self.failures:
            return -1
        return 0 if len(self.failures) % 2 else randrange(number)  # noqa: S311 - no secret

    def check(self) -> None:
        """Raise the error that ends the run when too many days have failed in a row."""
        latest = [failure.error for failure in self.failures[-MAX_REFUSALS_IN_A_ROW:]]
        refusals = [error for error in latest if isinstance(error, FatalError)]
        if len(refusals) == MAX_REFUSALS_IN_A_ROW:
            raise refusals[-1]
        if len(self.failures) >= self._limit:
            raise SourceDownError(
                f"{len(self.failures)} days failed one after another, the last with "
                f"{self.failures[-1].reason}; the source seems to be down: run the same command "
                "again later"
            )


@dataclass
class DayFetcher(Generic[Kept]):
    """Fetch single days; all workers of one run share it."""

    fetch_data: FetchData
    keep: Callable[[date, Iterable[Any]], Kept]
    timeout: float | None
    retry: Retry
    metrics: CallMetrics
    throttle: Throttle
    end_of_run: Future[None] = field(default_factory=Future)

    def stop(self) -> None:
        """Start no more calls, and abandon the running ones."""
        self.throttle.close()
        if not self.end_of_run.done():
            self.end_of_run.set_result(None)

    def fetch_day(self, day: date) -> Outcome[Kept]:
        """Try a day until it is fetched or has failed; raise only what ends the run."""
        call = RetriedCall(self.retry, self.throttle, self.metrics)
        try:
            self.throttle.begin_day()
            return DayReport(day, call(partial(self._attempt, day)), call.tries)
        except FatalError:
            self.throttle.close()  # before another worker makes one more call
            raise
        except Stopped:
            raise
        except (TokenExpiredError, UnconfirmedError) as error:
            return DayFailure(day, fatal_form(error) or error, call.tries)
        except Exception as error:  # noqa: BLE001 - a source may raise any exception
            return DayFailure(day, error, call.tries)
        finally:
            self.throttle.end_day()

    def _attempt(self, day: date) -> Kept:
        with self.metrics.time_call():
            return call_isolated(partial(self._call, day), self.timeout, self.end_of_run)

    def _call(self, day: date, is_abandoned: IsAbandoned) -> Kept:
        rows = self.fetch_data(day)
        if not isinstance(rows, Iterable):
            raise DayError(f"the source returned {type(rows).__name__}, not rows")
        return read_rows(rows, partial(self.keep, day), is_abandoned)


def ends_run(future: Future[Any]) -> bool:
    """Return whether a day has raised an error that ends the run."""
    error = future.exception()
    return error is not None and not isinstance(error, Stopped)


def outcomes(done: Iterable[Future[Outcome[Kept]]]) -> Generator[Outcome[Kept], None, None]:
    """Yield the outcomes of some days, then raise the error that ends the run, if there is one.

    A used-up quota is a conclusion from refusals; any other error says itself what is wrong.
    """
    errors = [error for future in done if (error := future.exception())]
    finished = [future.result() for future in done if not future.exception()]
    yield from sorted(finished, key=lambda outcome: outcome.day, reverse=True)
    for error in sorted(errors, key=lambda error: isinstance(error, QuotaError)):
        if not isinstance(error, Stopped):
            raise error
