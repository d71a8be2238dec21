"""A run: find the missing days of one or many accounts, fetch them, store each as it arrives."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from adsfetch.dataset_run import DatasetRun, Notify, Settings
from adsfetch.errors import (
    FatalError,
    OAuthError,
    QuotaError,
    StoreError,
)
from adsfetch.fetch.jobs import Job
from adsfetch.fetch.pool import fetch_jobs
from adsfetch.fetch.retry import RetriedCall
from adsfetch.fetch.throttle import Throttle
from adsfetch.plan import Plan, WantedRange, forecast
from adsfetch.sources import Source
from adsfetch.storage.combined import write_combined
from adsfetch.storage.staging import StagedDay
from adsfetch.totals import Totals

Result = TypeVar("Result")


class Run:
    """Fetch one or many sources, each into a folder of its own, with one pool of workers.

    An account that cannot be fetched stops no other one; with a single source, what prevents the
    start is raised. A run of years with many workers needs about a tenth less memory under GNU's
    C library with the environment variable ``MALLOC_ARENA_MAX=2``: otherwise each thread has a
    heap of its own.
    """

    def __init__(self, sources: Sequence[tuple[Source, Path]], settings: Settings) -> None:
        self._settings = settings
        # In one order, so that two runs never wait for each other's locks.
        ordered = sorted(sources, key=lambda pair: str(pair[1]))
        self._parts = [DatasetRun(source, folder, settings) for source, folder in ordered]
        self._several = len(self._parts) > 1
        self._throttle = Throttle(settings.workers)

    def preview(self, wanted: WantedRange) -> list[tuple[str, Plan]]:
        """Return what a run would fetch by dataset; make no call and write nothing."""
        for part in self._parts:
            part.load()
        return [(part.store.folder.name, part.make_plan(wanted)) for part in self._parts]

    def execute(self, wanted: WantedRange, notify: Notify) -> Totals:
        """Fetch what is missing and return the summary of all datasets.

        An error that ends the run later is in the summary: what was fetched before is stored.
        """
        start = time.perf_counter()
        totals = Totals([part.summary for part in self._parts])
        with ExitStack() as stack:
            for part in self._parts:
                stack.callback(part.source.close)
            try:
                self._fetch(self._prepare(wanted, notify, stack), totals)
            except (FatalError, KeyboardInterrupt) as stop:
                if not totals.began:
                    raise
                totals.stopped = stop
            if not isinstance(totals.stopped, KeyboardInterrupt | StoreError):
                self._aggregate(totals)
        totals.wall_seconds = time.perf_counter() - start
        if self._settings.budget and (budget := self._settings.budget.limit_and_left()):
            totals.budget = budget
            if isinstance(totals.stopped, QuotaError):
                totals.complete_on = self._expect_completion(wanted, budget[0])
        return totals

    def _expect_completion(self, wanted: WantedRange, limit: int) -> date | None:
        """Return when nothing is left if this run is repeated each day; None for never."""
        plans = [part.make_plan(wanted) for part in self._parts if part.plan]
        spent = forecast(plans, limit, limit)
        never = len(spent) > 1 and not spent[-1]
        return None if never else plans[0].today + timedelta(len(spent))

    def failed(self, error: FatalError) -> Totals:
        """Return the summary of a run that could not start."""
        return Totals([part.summary for part in self._parts], stopped=error)

    def _prepare(self, wanted: WantedRange, notify: Notify, stack: ExitStack) -> list[DatasetRun]:
        """Return the parts that have something to fetch, ready for that."""
        deadline = time.monotonic() + self._settings.lock_wait
        for part in self._parts:
            with self._account_errors(part):
                wait = max(0.0, deadline - time.monotonic())
                stack.enter_context(part.lock(wait, notify))
                part.load()
        self._fetch_time_zones([part for part in self._running() if part.needs_time_zone])
        for part in self._running():
            with self._account_errors(part):
                self._begin(part, part.make_plan(wanted), notify)
        return [part for part in self._running() if part.plan and part.plan.days]

    def _begin(self, part: DatasetRun, plan: Plan, notify: Notify) -> None:
        if plan.days:
            self._call(part, part.source.open)
        part.begin(plan)
        for note in plan.notes:
            notify(f"{part.store.folder.name}: {note}" if self._several else note)

    def _running(self) -> list[DatasetRun]:
        return [part for part in self._parts if part.summary.stopped is None]

    def _account_errors(self, part: DatasetRun) -> "AccountErrors":
        return AccountErrors(part if self._several else None)

    def _fetch_time_zones(self, parts: Sequence[DatasetRun]) -> None:
        def fetch(part: DatasetRun) -> None:
            with self._account_errors(part):
                part.set_time_zone(self._call(part, partial(self._count, part.source.time_zone)))

        if len(parts) <= 1:
            any(map(fetch, parts))
            return
        with ThreadPoolExecutor(self._settings.workers) as pool:
            for _ in pool.map(fetch, parts):
                pass

    def _count(self, call: Callable[[], Result]) -> Result:
        """Make a call that is an operation of the API."""
        self._before_call()
        return call()

    def _call(self, part: DatasetRun, call: Callable[[], Result]) -> Result:
        pause = (lambda _seconds: None) if self._several else None
        return RetriedCall(self._settings.retry, self._throttle, part.metrics, pause).alone(call)

    def _before_call(self) -> None:
        if self._settings.budget:
            self._settings.budget.take()

    def _fetch(self, parts: Sequence[DatasetRun], totals: Totals) -> None:
        """Fetch all days; raise the error that ends the run early."""
        totals.began = True
        if not parts:
            return
        from tqdm import tqdm  # noqa: PLC0415 - a run with nothing to do need not load it

        workers, cluster = self._settings.workers, self._settings.cluster
        if cluster:
            workers = min(workers, cluster.connect())
        start = time.perf_counter()
        jobs: dict[Job[StagedDay], DatasetRun] = {
            part.job(part.plan): part for part in parts if part.plan
        }
        fetched = fetch_jobs(
            list(jobs),
            workers=workers,
            retry=self._settings.retry,
            throttle=self._throttle,
            before_call=self._before_call,
        )
        hidden = self._settings.quiet or None  # None: shown on terminals only
        days = sum(part.summary.asked for part in parts)
        bar = tqdm(total=days, unit="day", dynamic_ncols=True, disable=hidden)
        try:
            with closing(fetched), bar:
                for job, outcome in fetched:
                    jobs[job].store_outcome(outcome)
                    bar.update()
        finally:
            if cluster:
                cluster.close()
            for job, part in jobs.items():
                part.summary.stopped = job.error
            totals.fetch_seconds = time.perf_counter() - start
            totals.paused_seconds = self._throttle.paused_seconds

    def _aggregate(self, totals: Totals) -> None:
        start = time.perf_counter()
        for part in self._parts:
            if part.plan:
                part.aggregate()
        try:
            totals.combined = write_combined([part.store.folder for part in self._parts])
        except StoreError as error:
            totals.stopped = error
        totals.aggregate_seconds = time.perf_counter() - start


class AccountErrors:
    """Record an error of one of several accounts; raise what concerns all of them."""

    def __init__(self, part: DatasetRun | None) -> None:
        self._part = part

    def __enter__(self) -> None:
        """Begin what may fail."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if self._part is None or not isinstance(error, FatalError):
            return False
        if isinstance(error, OAuthError | QuotaError):
            return False
        self._part.summary.stopped = error
        return True
