"""The busy part of a run: days fetched, committed one by one, and put together."""

import time
from contextlib import closing
from dataclasses import dataclass
from datetime import date

from adsfetch.errors import FatalError, StoreError
from adsfetch.fetch.outcome import DayFailure
from adsfetch.fetch.pool import Outcome, fetch_days
from adsfetch.fetch.retry import Retry
from adsfetch.fetch.throttle import Gate
from adsfetch.progress import progress
from adsfetch.sources import Source
from adsfetch.storage.aggregate import aggregate
from adsfetch.storage.staging import Draft, Drafts
from adsfetch.storage.store import Store
from adsfetch.summary import Summary


@dataclass
class Work:
    """What it takes to work through some days."""

    store: Store
    source: Source
    gate: Gate
    summary: Summary
    today: date

    def do(self, days: list[date], retry: Retry) -> None:
        """Fetch and keep the days, then write the aggregate of all that is held.

        Whatever ends the run early is put into the summary, after what was done is safe.
        """
        try:
            if days:
                self._fetch(days, retry)
        except (FatalError, KeyboardInterrupt) as stop:
            self.summary.stopped = stop
        if not isinstance(self.summary.stopped, KeyboardInterrupt | StoreError):
            self._aggregate()

    def _fetch(self, days: list[date], retry: Retry) -> None:
        begun = time.perf_counter()
        drafts = self.store.drafts()
        outcomes = fetch_days(
            self.source.fetch_data,
            days,
            keep=drafts.write,
            workers=self.gate.workers,
            timeout=self.source.call_limit,
            retry=retry,
            meter=self.summary.meter,
            gate=self.gate,
        )
        try:
            with closing(outcomes), progress(len(days)) as bar:
                for outcome in outcomes:
                    self._keep(outcome, drafts)
                    bar.update()
        finally:
            self.summary.fetching = time.perf_counter() - begun
            self.summary.throttled = self.gate.throttled

    def _keep(self, outcome: Outcome[Draft], drafts: Drafts) -> None:
        if isinstance(outcome, DayFailure):
            self.store.fail(outcome.day, outcome.reason, self.today)
            self.summary.failed.append(outcome)
        else:
            self.store.commit(outcome.rows, drafts.columns, self.today)
            self.summary.count(outcome.rows.rows)

    def _aggregate(self) -> None:
        begun = time.perf_counter()
        try:
            aggregate(self.store)
        except StoreError as error:
            self.summary.stopped = error
        self.summary.aggregating = time.perf_counter() - begun
