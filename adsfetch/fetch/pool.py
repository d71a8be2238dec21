"""Fetch days on a pool of threads; each day becomes a DayReport or a DayFailure."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from typing import Any, Generic

from adsfetch.errors import (
    FatalError,
    QuotaError,
    TokenExpiredError,
    UnconfirmedError,
)
from adsfetch.fetch.isolation import call_isolated, fetch_rows
from adsfetch.fetch.jobs import DayFailure, DayReport, Job, JobQueue, Kept, Outcome
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.retry import RetriedCall, Retry, fatal_form
from adsfetch.fetch.throttle import Stopped, Throttle
from adsfetch.sources import FetchData


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
    job = Job(fetch_data, list(days), keep, timeout, metrics or CallMetrics())
    fetched = fetch_jobs([job], workers=workers, retry=retry, throttle=throttle)
    with closing(fetched):
        for _, outcome in fetched:
            yield outcome


def fetch_jobs(
    jobs: Sequence[Job[Kept]],
    *,
    workers: int = 16,
    retry: Retry = Retry(),  # noqa: B008 - frozen
    throttle: Throttle | None = None,
    before_call: Callable[[], None] = lambda: None,
) -> Generator[tuple[Job[Kept], Outcome[Kept]], None, None]:
    """Yield the outcome of each day of many accounts, as ``fetch_days`` does for one.

    The newest days of all accounts start first. With several accounts, an error that concerns
    one of them ends its job only. ``before_call`` may raise what ends the run.
    """
    queue = JobQueue(jobs, workers)
    fetcher: DayFetcher[Kept] = DayFetcher(
        retry, throttle or Throttle(workers), before_call, several=len(jobs) > 1
    )
    pool = ThreadPoolExecutor(workers, thread_name_prefix="ads-day")
    running: set[Future[tuple[Job[Kept], Outcome[Kept]]]] = set()
    fetcher.throttle.start(workers, sum(len(job.days) for job in jobs))
    try:
        while queue or running:
            while len(running) < 2 * workers and (task := queue.next()):
                fetcher.throttle.hold_back(queue.held_back)  # before the day begins
                running.add(pool.submit(fetcher.fetch_day, *task))
            fetcher.throttle.hold_back(queue.held_back)
            if not running:
                time.sleep(queue.seconds_to_wait() or 0.0)
                continue
            done, running = wait(running, queue.seconds_to_wait(), FIRST_COMPLETED)
            if any(map(ends_run, done)):
                fetcher.stop()
                done, running = done | wait(running).done, set()  # days that end just now count
            for job, outcome in outcomes(done):
                fetcher.throttle.drop_days(queue.count(job, outcome))
                yield job, outcome
            queue.check()
    finally:
        fetcher.stop()
        pool.shutdown(cancel_futures=True)


@dataclass
class DayFetcher(Generic[Kept]):
    """Fetch single days; all workers of one run share it."""

    retry: Retry
    throttle: Throttle
    before_call: Callable[[], None]
    several: bool
    end_of_run: Future[None] = field(default_factory=Future)

    def stop(self) -> None:
        """Start no more calls, and abandon the running ones."""
        self.throttle.close()
        if not self.end_of_run.done():
            self.end_of_run.set_result(None)

    def fetch_day(self, job: Job[Kept], day: date) -> tuple[Job[Kept], Outcome[Kept]]:
        """Try a day until it is fetched or has failed; raise only what ends the run."""
        return job, self._fetch_day(job, day)

    def _fetch_day(self, job: Job[Kept], day: date) -> Outcome[Kept]:
        pause = job.pause if self.several else None
        call = RetriedCall(self.retry, self.throttle, job.metrics, pause)
        try:
            self.throttle.begin_day(dropped=job.error is not None)
            return DayReport(day, call(partial(self._attempt, job, day)), call.tries)
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

    def _attempt(self, job: Job[Kept], day: date) -> Kept:
        self.before_call()
        with job.metrics.time_call():
            call = partial(fetch_rows, job.fetch_data, day, job.keep)
            return call_isolated(call, job.timeout, self.end_of_run)


def ends_run(future: Future[Any]) -> bool:
    """Return whether a day has raised an error that ends the run."""
    error = future.exception()
    return error is not None and not isinstance(error, Stopped)


def outcomes(
    done: Iterable[Future[tuple[Job[Kept], Outcome[Kept]]]],
) -> Generator[tuple[Job[Kept], Outcome[Kept]], None, None]:
    """Yield the outcomes of some days, then raise the error that ends the run, if there is one.

    A used-up quota is a conclusion from refusals; any other error says itself what is wrong.
    """
    errors = [error for future in done if (error := future.exception())]
    finished = [future.result() for future in done if not future.exception()]
    yield from sorted(finished, key=lambda each: each[1].day, reverse=True)
    for error in sorted(errors, key=lambda error: isinstance(error, QuotaError)):
        if not isinstance(error, Stopped):
            raise error
