"""A run: find the missing days, fetch them, store each as it arrives, write the aggregate."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TypeVar

from adsfetch.dates import days_before, today_in, zone
from adsfetch.errors import FatalError, StoreError, UnavailableError
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.jobs import DayReport, Outcome
from adsfetch.fetch.pool import fetch_days
from adsfetch.fetch.retry import RetriedCall, Retry
from adsfetch.fetch.throttle import Throttle
from adsfetch.plan import Plan, WantedRange, make_plan
from adsfetch.sources import Source
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.dataset import Dataset
from adsfetch.storage.lock import exclusive_lock
from adsfetch.storage.staging import StagedDay
from adsfetch.storage.store import Store
from adsfetch.summary import Summary

Result = TypeVar("Result")


@dataclass(frozen=True)
class Settings:
    """The settings of a run; times are in seconds.

    ``lookback`` and ``earliest_days`` are by default those of the last run. Days that are more
    than ``earliest_days`` before today are unavailable.
    """

    workers: int = 16
    retry: Retry = field(default_factory=Retry)
    lookback: int | None = None
    earliest_days: int | None = None
    lock_wait: float = 600.0
    time_zone: str = ""
    today: date | None = None
    escape_formulas: bool = False
    quiet: bool = False


class Run:
    """Fetch one source into one folder.

    A run of years with many workers needs about a tenth less memory under GNU's C library
    with the environment variable ``MALLOC_ARENA_MAX=2``: otherwise each thread has a heap of
    its own.
    """

    def __init__(self, source: Source, folder: Path, settings: Settings) -> None:
        self._source, self._settings = source, settings
        self._store = Store(folder)
        self._throttle, self._metrics = Throttle(settings.workers), CallMetrics()

    def preview(self, wanted: WantedRange) -> Plan:
        """Return what a run would fetch; make no call and write nothing."""
        dataset = self._load()
        self._set_today(dataset, self._settings.time_zone or dataset.time_zone)
        return make_plan(self._store, wanted)

    def execute(self, wanted: WantedRange, notify: Callable[[str], None]) -> Summary:
        """Fetch what is missing and return the summary; raise what prevents the start.

        An error that ends the run later is in the summary: what was fetched before is stored.
        """
        start = time.perf_counter()
        lock = exclusive_lock(self._store.lock_path, self._settings.lock_wait, notify)
        with closing(self._source), lock:
            plan = self._prepare(wanted, notify)
            summary = Summary(
                self._store.folder.name,
                plan.first,
                plan.last,
                asked=len(plan.days),
                held=plan.held,
                warnings=plan.warnings,
                metrics=self._metrics,
            )
            self._fetch_and_aggregate(plan.days, summary)
            summary.source = self._source.detail
        summary.wall_seconds = time.perf_counter() - start
        return summary

    def _prepare(self, wanted: WantedRange, notify: Callable[[str], None]) -> Plan:
        """Return the plan; make the source and the dataset ready."""
        dataset = self._load()
        time_zone = self._settings.time_zone or dataset.time_zone
        self._set_today(dataset, time_zone or self._with_retries(self._source.time_zone))
        plan = make_plan(self._store, wanted)
        if plan.days:
            self._with_retries(self._source.open)
            self._source.check_stored_row(self._store.any_row() or {})
        for note in plan.notes:
            notify(note)
        self._store.reconcile()
        self._store.save_description(plan.dataset)
        return plan

    def _load(self) -> Dataset:
        """Read the store; return its description, checked and completed for this source."""
        dataset = self._store.load().dataset
        return dataset.for_source(
            self._source.identity,
            escape_formulas=self._settings.escape_formulas,
            has_days=bool(self._store.held_entries()),
        )

    def _set_today(self, dataset: Dataset, time_zone: str) -> None:
        """Set the account's today, and what depends on it and on the settings."""
        settings, source = self._settings, self._source
        today = settings.today or today_in(zone(time_zone))
        dataset = replace(dataset, time_zone=time_zone)
        if settings.lookback is not None:
            dataset = replace(dataset, lookback=settings.lookback)
        if settings.earliest_days is not None:
            dataset = replace(dataset, earliest_days=settings.earliest_days)
        limits = [source.earliest(today)]
        if dataset.earliest_days is not None:
            limits.append(days_before(today, dataset.earliest_days))
        earliest = max(filter(None, limits), default=None)
        available = None if earliest is None else (today - earliest).days
        self._store.set_today(today).dataset = replace(dataset, days_available=available)

    def _with_retries(self, call: Callable[[], Result]) -> Result:
        return RetriedCall(self._settings.retry, self._throttle, self._metrics)(call)

    def _fetch_and_aggregate(self, days: list[date], summary: Summary) -> None:
        try:
            if days:
                self._fetch(days, summary)
        except (FatalError, KeyboardInterrupt) as stop:
            summary.stopped = stop
        if not isinstance(summary.stopped, KeyboardInterrupt | StoreError):
            self._aggregate(summary)

    def _fetch(self, days: list[date], summary: Summary) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - a run with nothing to do need not load it

        start = time.perf_counter()
        outcomes = fetch_days(
            self._source.fetch_data,
            days,
            keep=self._store.staging().write,
            workers=self._settings.workers,
            timeout=self._source.call_timeout,
            retry=self._settings.retry,
            metrics=self._metrics,
            throttle=self._throttle,
        )
        hidden = self._settings.quiet or None  # None: shown on terminals only
        bar = tqdm(total=len(days), unit="day", dynamic_ncols=True, disable=hidden)
        try:
            with closing(outcomes), bar:
                for outcome in outcomes:
                    self._store_outcome(outcome, summary)
                    bar.update()
        finally:
            summary.fetch_seconds = time.perf_counter() - start
            summary.paused_seconds = self._throttle.paused_seconds

    def _store_outcome(self, outcome: Outcome[StagedDay], summary: Summary) -> None:
        if isinstance(outcome, DayReport):
            staged = outcome.rows  # the result of Staging.write, not the rows themselves
            self._store.commit(staged)
            summary.add_day(staged.rows)
        elif isinstance(outcome.error, UnavailableError):
            self._store.record_unavailable(outcome.day, outcome.reason)
            summary.unavailable.append(outcome)
        else:
            self._store.record_failure(outcome.day, outcome.reason)
            summary.failed.append(outcome)

    def _aggregate(self, summary: Summary) -> None:
        start = time.perf_counter()
        try:
            self._store.add_headers()
            summary.aggregate_written = write_aggregate(self._store)
            summary.aggregate_path = str(self._store.aggregate_path)
            held = self._store.held_entries()
            summary.aggregate_days = len(held)
            summary.aggregate_rows = sum(entry.rows for entry in held)
        except StoreError as error:
            summary.stopped = error
        summary.aggregate_seconds = time.perf_counter() - start
