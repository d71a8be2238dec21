"""The summary of a run, for people and for programs."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from adsfetch.errors import FatalError, text_of
from adsfetch.fetch.jobs import DayFailure
from adsfetch.fetch.metrics import CallMetrics

INTERRUPTED = 130
MAX_FAILURES_SHOWN = 10


@dataclass
class Summary:
    """The outcome and the metrics of one run; no range is known if it could not begin."""

    dataset: str
    first: date | None = None
    last: date | None = None
    asked: int = 0
    held: int = 0
    fetched: int = 0
    empty: int = 0
    rows: int = 0
    failed: list[DayFailure] = field(default_factory=list)
    unavailable: list[DayFailure] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    stopped: FatalError | KeyboardInterrupt | None = None
    wall_seconds: float = 0.0
    fetch_seconds: float = 0.0
    aggregate_seconds: float = 0.0
    paused_seconds: float = 0.0
    metrics: CallMetrics = field(default_factory=CallMetrics)
    source: str = ""
    aggregate_path: str = ""
    aggregate_written: bool = False
    aggregate_days: int = 0
    aggregate_rows: int = 0

    def add_day(self, rows: int) -> None:
        self.fetched += 1
        self.rows += rows
        self.empty += not rows

    @property
    def not_tried(self) -> int:
        """Return how many days were left when the run ended early."""
        return self.asked - self.fetched - len(self.failed) - len(self.unavailable)

    @property
    def is_complete(self) -> bool:
        """Return whether all that was wanted is held, or can never be."""
        return bool(self.first) and not self.exit_code and not self.not_tried

    @property
    def exit_code(self) -> int:
        if isinstance(self.stopped, FatalError):
            return self.stopped.exit_code
        return INTERRUPTED if self.stopped else int(bool(self.failed))

    @property
    def reason(self) -> str:
        """Return why the run ended early; an empty string if it did not."""
        if isinstance(self.stopped, KeyboardInterrupt):
            return "interrupted"
        return text_of(self.stopped) if self.stopped else ""

    def as_json(self) -> dict[str, Any]:
        median, p95 = self.metrics.percentiles()
        return {
            "dataset": self.dataset,
            "source": self.source,
            "from": str(self.first or ""),
            "to": str(self.last or ""),
            "days_asked": self.asked,
            "days_fetched": self.fetched,
            "days_empty": self.empty,
            "days_failed": len(self.failed),
            "days_unavailable": len(self.unavailable),
            "days_not_tried": self.not_tried,
            "days_held": self.held,
            "failed": [
                {"day": str(f.day), "reason": f.reason, "tries": f.tries}
                for f in self.failures_by_day()
            ],
            "rows": self.rows,
            "wall_seconds": round(self.wall_seconds, 3),
            "fetch_seconds": round(self.fetch_seconds, 3),
            "aggregate_seconds": round(self.aggregate_seconds, 3),
            "rows_per_second": round(ratio(self.rows, self.fetch_seconds)),
            "calls": len(self.metrics.durations),
            "retries": dict(self.metrics.retries),
            "throttled_seconds": round(self.paused_seconds, 3),
            "call_p50_seconds": round(median, 4),
            "call_p95_seconds": round(p95, 4),
            "speed_up": round(ratio(sum(self.metrics.durations), self.fetch_seconds), 1),
            "file": self.aggregate_path,
            "file_written": self.aggregate_written,
            "stopped": self.reason,
            "exit_code": self.exit_code,
        }

    def lines(self) -> list[str]:
        """Return the summary in lines; the last one names the file with all days."""
        return [self._headline(), *self._timing(), *self._unavailable(), *self.file_line()]

    def failures_by_day(self) -> list[DayFailure]:
        return sorted(self.failed, key=lambda failure: failure.day)

    def _headline(self) -> str:
        if not self.first:
            return f"{self.dataset}: no day could be fetched"
        days = f"{self.dataset}: {self.first} to {self.last}"
        if not self.asked:
            return f"{days}, nothing to do: all days are final"
        empty = f" ({self.empty} of them empty)" if self.empty else ""
        held = f"; {self.held} days were final already" if self.held else ""
        return f"{days}, {self.fetched} of {self.asked} days fetched{empty}, {self.rows} rows{held}"

    def _timing(self) -> list[str]:
        if not self.metrics.durations:
            return []
        values = self.as_json()
        causes = ", ".join(
            f"{count} {cause}" for cause, count in sorted(self.metrics.retries.items())
        )
        calls = f"calls: {values['calls']}, "
        if values["calls"] == 1:
            calls += f"within {values['call_p50_seconds'] * 1000:.0f} ms"
        else:
            calls += (
                f"half of them within {values['call_p50_seconds'] * 1000:.0f} ms, 95 % within "
                f"{values['call_p95_seconds'] * 1000:.0f} ms; one after another they would take "
                f"{values['speed_up']} times as long"
            )
        return [
            f"source: {self.source}",
            f"time: {self.wall_seconds:.2f} s, of which {self.fetch_seconds:.2f} s to fetch "
            f"({values['rows_per_second']} rows/s) and {self.aggregate_seconds:.2f} s for all.csv",
            calls,
            f"retries: {causes or 'none'}; waited for the rate limit of the source: "
            f"{self.paused_seconds:.1f} s",
        ]

    def _unavailable(self) -> list[str]:
        if not self.unavailable:
            return []
        first, number = self.unavailable[0], len(self.unavailable)
        return [f"unavailable: {number} days, such as {first.day}: {first.reason}"]

    def file_line(self) -> list[str]:
        """Return what is in the file of all days, unless the run could not look at it."""
        if not self.aggregate_path:
            return []
        done = "written" if self.aggregate_written else "unchanged"
        days, rows = self.aggregate_days, self.aggregate_rows
        return [f"{self.aggregate_path}: {done}, {days} days, {rows} rows"]

    def problems(self) -> list[str]:
        """Return what is wrong, in lines for standard error."""
        lines = [f"failed {f.day}: {f.reason} (tries: {f.tries})" for f in self.failures_by_day()]
        if (more := len(lines) - MAX_FAILURES_SHOWN) > 0:
            lines[MAX_FAILURES_SHOWN:] = [f"... and {more} more days: adsfetch missing lists them"]
        left = f" ({self.not_tried} days were not tried)" if self.not_tried else ""
        stopped = [f"stopped: {self.reason}{left}"] if self.stopped else []
        return [*self.warnings, *lines, *stopped]


def ratio(part: float, whole: float) -> float:
    """Divide; return 0 when ``whole`` is 0."""
    return part / whole if whole else 0.0
