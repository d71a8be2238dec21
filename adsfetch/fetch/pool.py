"""One day fetched; a range of days fetched on a pool of threads."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any, Generic

from adsfetch.errors import DayError, FatalError, RateLimitError
from adsfetch.fetch.deadline import Calls
from adsfetch.fetch.metrics import Meter
from adsfetch.fetch.outcome import DayFailure, DayReport, Kept
from adsfetch.fetch.retry import Retry
from adsfetch.fetch.throttle import Gate, Stopped

FetchData = Callable[[date], Iterable[Any]]
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
    meter: Meter | None = None,
    gate: Gate | None = None,
) -> Generator[Outcome[Kept], None, None]:
    """Yield a DayReport or a DayFailure for each day as it is done, newest days first.

    ``keep(day, rows)`` runs beside ``fetch_data`` in the worker; what it returns becomes the
    report's ``rows``. A call of both is left behind after ``timeout`` seconds. A fatal error
    is raised, after the days that were done. At most two days for each worker are begun.
    """
    crew = Crew(fetch_data, keep, timeout, retry, meter or Meter(), gate or Gate(workers))
    todo = iter(sorted(set(days), reverse=True))
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ads-day")
    try:
        running = {pool.submit(crew.fetch_day, day) for day in islice(todo, 2 * workers)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            running |= {pool.submit(crew.fetch_day, day) for day in islice(todo, len(done))}
            yield from outcomes(done)
    finally:
        crew.stop()
        pool.shutdown(cancel_futures=True)


@dataclass
class Crew(Generic[Kept]):
    """What all workers of one run share."""

    fetch_data: FetchData
    keep: Callable[[date, Iterable[Any]], Kept]
    timeout: float | None
    retry: Retry
    meter: Meter
    gate: Gate
    calls: Calls = field(default_factory=Calls)

    def fetch_day(self, day: date) -> Outcome[Kept]:
        """Try a day until it is there or given up; raise only what ends the run."""
        loop = self.retry.loop(self.gate, self.meter)
        try:
            kept = loop(self._try, day)
        except FatalError:
            self.gate.close()  # before any other worker makes one more call
            raise
        except Stopped:
            raise
        except Exception as error:  # noqa: BLE001 - a source raises what it likes
            return DayFailure(day, error, tries(loop))
        return DayReport(day, kept, tries(loop))

    def stop(self) -> None:
        """Let nobody begin, wait or be waited for."""
        self.gate.close()
        self.calls.close()

    def _try(self, day: date) -> Kept:
        with self.gate.admit() as ticket, self.meter.call():
            try:
                return self.calls.run(lambda: self._call(day), self.timeout)
            except RateLimitError as error:
                self.retry.pause(self.gate, error, ticket)
                raise

    def _call(self, day: date) -> Kept:
        rows = self.fetch_data(day)
        if not isinstance(rows, Iterable):
            raise DayError(f"the source returned {type(rows).__name__}, not rows")
        return self.keep(day, rows)


def outcomes(done: Iterable[Future[Outcome[Kept]]]) -> Generator[Outcome[Kept], None, None]:
    """Yield what went well or failed by itself, then raise what ends the run."""
    errors = [error for future in done if (error := future.exception())]
    ended = [future.result() for future in done if not future.exception()]
    yield from sorted(ended, key=lambda outcome: outcome.day, reverse=True)
    for error in errors:
        if not isinstance(error, Stopped):
            raise error


def tries(loop: Any) -> int:
    """Return how many calls a day took."""
    return int(loop.statistics.get("attempt_number", 1))
