"""The part of a run that concerns one dataset: its plan, its days, its aggregate, its summary."""

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from adsfetch.budget import Budget
from adsfetch.cluster.client import Cluster
from adsfetch.dates import days_before, today_in, zone
from adsfetch.errors import StoreError, UnavailableError
from adsfetch.fetch.jobs import DayReport, Job, Outcome
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.retry import Retry
from adsfetch.plan import Plan, WantedRange, make_plan
from adsfetch.sources import Source
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.lock import exclusive_lock
from adsfetch.storage.staging import StagedDay
from adsfetch.storage.store import Store
from adsfetch.summary import Summary

Notify = Callable[[str], None]


@dataclass(frozen=True)
class Settings:
    """The settings of a run; times are in seconds.

    ``lookback`` and ``earliest_days`` are by default those of the last run. Days that are more
    than ``earliest_days`` before today are unavailable. ``refetch``: final days are fetched again.
    ``cluster`` makes the calls for days; without one, this process does.
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
    refetch: bool = False
    budget: Budget | None = None
    cluster: Cluster | None = None


class DatasetRun:
    """One source, and the folder with what was fetched from it."""

    def __init__(self, source: Source, folder: Path, settings: Settings) -> None:
        self.source, self.store = source, Store(folder)
        self._settings = settings
        self.metrics = CallMetrics()
        self.summary = Summary(folder.name, metrics=self.metrics)
        self._time_zone = ""
        self.plan: Plan | None = None

    def lock(self, wait: float, notify: Notify) -> AbstractContextManager[None]:
        """Return the lock of the dataset."""
        return exclusive_lock(self.store.lock_path, wait, notify)

    def load(self) -> None:
        """Read the dataset, and check that it is one of this source."""
        dataset = self.store.load().dataset.for_source(
            self.source.identity,
            escape_formulas=self._settings.escape_formulas,
            has_days=bool(self.store.held_entries()),
        )
        self.store.dataset = replace(dataset, remembered=dict(self.source.options))
        self._time_zone = self._settings.time_zone or dataset.time_zone
        if not self._time_zone and not self.source.asks_time_zone:
            self._time_zone = self.source.time_zone()

    @property
    def needs_time_zone(self) -> bool:
        """Return whether a call must fetch the time zone of the account."""
        return not self._time_zone and self.source.asks_time_zone

    def set_time_zone(self, name: str) -> None:
        """Set what the source said."""
        self._time_zone = name

    def make_plan(self, wanted: WantedRange) -> Plan:
        """Return what is to be fetched."""
        self._set_today()
        self.plan = make_plan(self.store, wanted, refetch=self._settings.refetch)
        return self.plan

    def begin(self, plan: Plan) -> None:
        """Check what is stored, repair it where a run was killed, and record what is wanted."""
        if plan.days:
            self.source.check_stored_row(self.store.any_row() or {})
        self.store.reconcile()
        self.store.save_description(plan.dataset)
        summary = self.summary
        summary.source = self.source.detail
        summary.first, summary.last, summary.warnings = plan.first, plan.last, plan.warnings
        summary.asked, summary.held = len(plan.days), plan.held

    def _set_today(self) -> None:
        """Set the account's today, and what depends on it and on the settings."""
        settings, dataset = self._settings, self.store.dataset
        today = settings.today or today_in(zone(self._time_zone))
        dataset = replace(dataset, time_zone=self._time_zone)
        if settings.lookback is not None:
            dataset = replace(dataset, lookback=settings.lookback)
        if settings.earliest_days is not None:
            dataset = replace(dataset, earliest_days=settings.earliest_days)
        limits = [self.source.earliest(today)]
        if dataset.earliest_days is not None:
            limits.append(days_before(today, dataset.earliest_days))
        earliest = max(filter(None, limits), default=None)
        available = None if earliest is None else (today - earliest).days
        self.store.set_today(today).dataset = replace(dataset, days_available=available)

    def job(self, plan: Plan) -> Job[StagedDay]:
        """Return the days to fetch."""
        source, staging, cluster = self.source, self.store.staging(), self._settings.cluster
        rest = self.metrics, self.store.today
        if cluster:  # the worker writes the rows, and has the time limit
            fetch = partial(cluster.fetch, source, staging)
            return Job(fetch, plan.days, only_row, None, *rest)
        return Job(source.fetch_data, plan.days, staging.write, source.call_timeout, *rest)

    def store_outcome(self, outcome: Outcome[StagedDay]) -> None:
        """Store a day that was fetched, or record why it was not."""
        if isinstance(outcome, DayReport):
            staged = outcome.rows  # the result of Staging.write, not the rows themselves
            self.store.commit(staged)
            self.summary.add_day(staged.rows)
        elif isinstance(outcome.error, UnavailableError):
            self.store.record_unavailable(outcome.day, outcome.reason)
            self.summary.unavailable.append(outcome)
        else:
            self.store.record_failure(outcome.day, outcome.reason)
            self.summary.failed.append(outcome)

    def aggregate(self) -> None:
        """Write the file of all days, if it or a day has changed."""
        summary, start = self.summary, time.perf_counter()
        summary.source = self.source.detail
        try:
            self.store.add_headers()
            summary.aggregate_written = write_aggregate(self.store)
            summary.aggregate_path = str(self.store.aggregate_path)
            held = self.store.held_entries()
            summary.aggregate_days = len(held)
            summary.aggregate_rows = sum(entry.rows for entry in held)
        except StoreError as error:
            summary.stopped = error
        summary.aggregate_seconds = time.perf_counter() - start


def only_row(_day: date, rows: Iterable[Any]) -> StagedDay:
    """Return the day that a worker of the cluster has written."""
    (staged,) = rows
    return staged  # type: ignore[no-any-return]
