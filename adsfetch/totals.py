"""The summary of a run over one or many datasets."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from adsfetch.errors import FatalError, QuotaError
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.plan import never_complete
from adsfetch.storage.combined import Combined
from adsfetch.summary import Summary

ACCOUNT = re.compile(r"Google Ads \d+")


@dataclass
class Totals:
    """The outcome of a run: that of each dataset, and of all of them together.

    ``began`` is whether the run came so far that days were asked for. ``budget`` is the limit of
    operations in 24 hours, and how many are left. When these have ended the run,
    ``complete_on`` is the day on which nothing is left if it is repeated each day.
    """

    datasets: list[Summary]
    stopped: FatalError | KeyboardInterrupt | None = None
    began: bool = False
    wall_seconds: float = 0.0
    fetch_seconds: float = 0.0
    aggregate_seconds: float = 0.0
    paused_seconds: float = 0.0
    combined: list[Combined] = field(default_factory=list)
    budget: tuple[int, int] | None = None
    complete_on: date | None = None

    @property
    def whole(self) -> Summary:
        """Return one summary of all datasets; that of the dataset itself if there is only one."""
        parts = self.datasets
        whole = parts[0] if len(parts) == 1 else self._sum()
        return replace(
            whole,
            stopped=self.stopped or whole.stopped,
            wall_seconds=self.wall_seconds,
            fetch_seconds=self.fetch_seconds,
            aggregate_seconds=self.aggregate_seconds,
            paused_seconds=self.paused_seconds,
        )

    def _sum(self) -> Summary:
        parts = self.datasets
        metrics = CallMetrics()
        metrics.durations = [seconds for part in parts for seconds in part.metrics.durations]
        metrics.retries = sum((part.metrics.retries for part in parts), Counter())
        whole = Summary(f"{len(parts)} datasets", metrics=metrics)
        whole.first = min((part.first for part in parts if part.first), default=None)
        whole.last = max((part.last for part in parts if part.last), default=None)
        for name in ("asked", "held", "fetched", "empty", "rows"):
            setattr(whole, name, sum(getattr(part, name) for part in parts))
        whole.failed = [failure for part in parts for failure in part.failed]
        whole.unavailable = [failure for part in parts for failure in part.unavailable]
        sources = {ACCOUNT.sub("Google Ads", part.source) for part in parts if part.source}
        whole.source = "; ".join(sorted(sources))
        if self.combined:
            whole.aggregate_path = str(self.combined[-1].path)
            whole.aggregate_written = any(each.written for each in self.combined)
            whole.aggregate_days = sum(part.aggregate_days for part in parts)
            whole.aggregate_rows = sum(part.aggregate_rows for part in parts)
        return whole

    @property
    def exit_code(self) -> int:
        """Return the code of what ended the run, else the highest one of a dataset."""
        if self.stopped:
            return self.whole.exit_code
        return max(part.exit_code for part in self.datasets)

    def as_json(self) -> dict[str, Any]:
        """Return the summary; with several datasets, their summaries are in it."""
        record = self.whole.as_json() | {"exit_code": self.exit_code}
        if self.budget:
            record["operations_limit"], record["operations_left"] = self.budget
            record["complete_on"] = str(self.complete_on or "")
        if self.combined:
            record["files"] = [str(each.path) for each in self.combined]
        if len(self.datasets) > 1:
            record["datasets"] = [part.as_json() for part in self.datasets]
        return record

    def as_text(self) -> str:
        """Return the summary; its last line names the file with all days."""
        whole = self.whole
        lines = whole.lines()
        if len(self.datasets) > 1:
            good = sum(part.is_complete for part in self.datasets)
            lines.insert(1, f"datasets: {good} complete, {len(self.datasets) - good} not")
            if not self.combined:  # only one of them has days, or each has its own query
                parts = sorted(self.datasets, key=lambda part: part.aggregate_days)
                lines += [line for part in parts for line in part.file_line()]
        if self.budget:
            limit, left = self.budget
            lines.insert(-1, f"operations: {left} of {limit} are left for now")
        return "\n".join(lines)

    def problems(self) -> list[str]:
        """Return what is wrong, in lines for standard error."""
        if len(self.datasets) == 1:
            return [*self.whole.problems(), *self._outlook()]
        lines = []
        for part in self.datasets:
            lines += [f"{part.dataset}: {problem}" for problem in part.problems()]
        if self.stopped:
            lines.append(f"stopped: {self.whole.reason} ({self.whole.not_tried} days not tried)")
        return [*lines, *self._outlook()]

    def _outlook(self) -> list[str]:
        if not self.budget or not isinstance(self.stopped, QuotaError):
            return []
        if self.complete_on is None:
            return [never_complete(self.budget[0])]
        return [f"repeated each day, it is complete on {self.complete_on}"]
