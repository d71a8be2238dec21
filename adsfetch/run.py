"""A run: find the missing days, fetch them, keep each as it comes, write the aggregate."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TypeVar

from adsfetch.dates import today_in, zone
from adsfetch.fetch.metrics import Meter
from adsfetch.fetch.retry import Retry
from adsfetch.fetch.throttle import Gate
from adsfetch.plan import Plan, Scope, plan
from adsfetch.sources import Source
from adsfetch.storage.dataset import Dataset
from adsfetch.storage.lock import only_one
from adsfetch.storage.store import Store
from adsfetch.summary import Summary
from adsfetch.work import Work

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Settings:
    """How a run goes about its work; times are in seconds."""

    workers: int = 16
    retry: Retry = field(default_factory=Retry)
    lookback: int = 30
    lock_wait: float = 600.0
    time_zone: str = ""
    today: date | None = None
    escape_formulas: bool = False


class Run:
    """One source into one folder."""

    def __init__(self, source: Source, folder: Path, settings: Settings) -> None:
        self._source, self._settings = source, settings
        self._store = Store(folder)
        self._gate, self._meter = Gate(settings.workers), Meter()

    def preview(self, scope: Scope) -> Plan:
        """Return what a run would ask for; make no call and write nothing."""
        dataset = self._load()
        return self._plan(scope, self._today(self._settings.time_zone or dataset.time_zone))

    def execute(self, scope: Scope, say: Callable[[str], None]) -> Summary:
        """Fetch what is missing and return what came of it; wrong words raise UsageError."""
        begun = time.perf_counter()
        lock = only_one(self._store.folder / "lock", self._settings.lock_wait, say)
        with closing(self._source), lock:
            summary = self._execute(scope, say)
        summary.wall = time.perf_counter() - begun
        return summary

    def _execute(self, scope: Scope, say: Callable[[str], None]) -> Summary:
        dataset = self._load()
        name = self._settings.time_zone or dataset.time_zone or self._insist(self._source.time_zone)
        today = self._today(name)
        todo = self._plan(scope, today)
        if todo.days:
            self._insist(self._source.open)
        for note in todo.notes:
            say(note)
        self._store.settle()
        self._store.describe(replace(dataset, time_zone=name).wanting(todo.first, todo.last))
        summary = Summary(self._store.folder.name, todo.first, todo.last, len(todo.days))
        summary.meter = self._meter
        work = Work(self._store, self._source, self._gate, summary, today)
        work.do(todo.days, self._settings.retry)
        summary.source = self._source.detail
        return summary

    def _load(self) -> Dataset:
        """Read what is held, and return its description as this source's own."""
        dataset = self._store.load().dataset
        return dataset.claimed_by(
            self._source.identity,
            escape_formulas=self._settings.escape_formulas,
            has_days=bool(self._store.held()),
        )

    def _plan(self, scope: Scope, today: date) -> Plan:
        earliest = self._source.earliest(today)
        return plan(self._store, scope, today, self._settings.lookback, earliest)

    def _today(self, name: str) -> date:
        return self._settings.today or today_in(zone(name) if name else None)

    def _insist(self, question: Callable[[], Answer]) -> Answer:
        return self._settings.retry.loop(self._gate, self._meter)(question)
