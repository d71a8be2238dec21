"""Fetch a range of days on a pool of threads; each day becomes a DayReport or a DayFailure."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, Generic, TypeVar

from adsfetch.errors import DayError, FatalError, RateLimitError
from adsfetch.fetch.deadline import call_with_deadline
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.retry import Retry
from adsfetch.fetch.throttle import Stopped, Throttle
from adsfetch.sources import FetchData

Kept = TypeVar("Kept")


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
        """Return the error in one line."""
        text = " ".join(str(self.error).split())
        name = type(self.error).__name__
        return text if name in text or not text else f"{name}: {text}"


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
    """
    fetcher = DayFetcher(
        fetch_data, keep, timeout, retry, metrics or CallMetrics(), throttle or Throttle(workers)
    )
    todo = iter(sorted(set(days), reverse=True))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ads-day")
    try:
        running = {pool.submit(fetcher.fetch_day, day) for day in islice(todo, 2 * workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(fetcher.fetch_day, day) for day in islice(todo, len(done))}
            yield from outcomes(done)
    finally:
        fetcher.throttle.close()  # starts no more calls
        fetcher.end_of_run.set_result(None)  # abandons the running ones
        pool.shutdown(cancel_futures=True)


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

    def fetch_day(self, day: date) -> Outcome[Kept]:
        """Try a day until it is fetched or has failed; raise only what ends the run."""
        tries = 1
        try:
            for attempt in self.retry.retrying(self.throttle, self.metrics):
                tries = attempt.retry_state.attempt_number
                with attempt:
                    rows = self._attempt(day, first_call=tries == 1)
        except FatalError:
            self.throttle.close()  # before another worker makes one more call
            raise
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - a source may raise any exception
            return DayFailure(day, error, tries)
        return DayReport(day, rows, tries)

    def _attempt(self, day: date, *, first_call: bool) -> Kept:
        with self.throttle.acquire(first_call=first_call) as pauses, self.metrics.time_call():
            try:
                return call_with_deadline(lambda: self._call(day), self.timeout, self.end_of_run)
            except RateLimitError as error:
                seconds = self.retry.pause_after(error, self.throttle.refusals)
                self.throttle.pause(seconds, pauses)
                raise

    def _call(self, day: date) -> Kept:
        rows = self.fetch_data(day)
        if not isinstance(rows, Iterable):
            raise DayError(f"the source returned {type(rows).__name__}, not rows")
        return self.keep(day, rows)


def outcomes(done: Iterable[Future[Outcome[Kept]]]) -> Generator[Outcome[Kept], None, None]:
    """Yield the outcomes of some days, then raise the error that ends the run, if there is one."""
    errors = [error for future in done if (error := future.exception())]
    finished = [future.result() for future in done if not future.exception()]
    yield from sorted(finished, key=lambda outcome: outcome.day, reverse=True)
    for error in errors:
        if not isinstance(error, Stopped):
            raise error
