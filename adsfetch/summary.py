"""The summary of a run, for people and for programs."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from adsfetch.errors import FatalError
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.pool import DayFailure

INTERRUPTED = 130
MAX_FAILURES_SHOWN = 10


@dataclass
class Summary:
    """The outcome and the metrics of one run."""

    dataset: str
    first: date
    last: date
    asked: int = 0
    fetched: int = 0
    empty: int = 0
    rows: int = 0
    failed: list[DayFailure] = field(default_factory=list)
    stopped: FatalError | KeyboardInterrupt | None = None
    wall_seconds: float = 0.0
    fetch_seconds: float = 0.0
    aggregate_seconds: float = 0.0
    paused_seconds: float = 0.0
    metrics: CallMetrics = field(default_factory=CallMetrics)
    source: str = ""

    def add_day(self, rows: int) -> None:
        self.fetched += 1
        self.rows += rows
        self.empty += not rows

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
        return str(self.stopped) if self.stopped else ""

    def as_json(self) -> dict[str, Any]:
        median, p95 = self.metrics.percentiles()
        return {
            "dataset": self.dataset,
            "source": self.source,
            "from": str(self.first),
            "to": str(self.last),
            "days_asked": self.asked,
            "days_fetched": self.fetched,
            "days_empty": self.empty,
            "days_failed": len(self.failed),
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
            "stopped": self.reason,
            "exit_code": self.exit_code,
        }

    def as_text(self) -> str:
        return "\n".join([self._headline(), *self._timing(), *self._problems()])

    def failures_by_day(self) -> list[DayFailure]:
        return sorted(self.failed, key=lambda failure: failure.day)

    def _headline(self) -> str:
        days = f"{self.dataset}: {self.first} to {self.last}"
        if not self.asked:
            return f"{days}, nothing to do: all days are final"
        empty = f" ({self.empty} of them empty)" if self.empty else ""
        return f"{days}, {self.fetched} of {self.asked} days fetched{empty}, {self.rows} rows"

    def _timing(self) -> list[str]:
        if not self.metrics.durations:
            return []
        values = self.as_json()
        causes = ", ".join(
            f"{count} {cause}" for cause, count in sorted(self.metrics.retries.items())
        )
        return [
            f"source: {self.source}",
            f"time: {self.wall_seconds:.2f} s "
            f"(fetch {self.fetch_seconds:.2f}, aggregate {self.aggregate_seconds:.2f}), "
            f"{values['rows_per_second']} rows/s, {values['speed_up']} x one worker",
            f"calls: {values['calls']}, median {values['call_p50_seconds'] * 1000:.0f} ms, "
            f"95th percentile {values['call_p95_seconds'] * 1000:.0f} ms, "
            f"retries: {causes or 'none'}, paused by rate limits {self.paused_seconds:.1f} s",
        ]

    def _problems(self) -> list[str]:
        lines = [f"failed {f.day}: {f.reason} (tries: {f.tries})" for f in self.failures_by_day()]
        if len(lines) > MAX_FAILURES_SHOWN:
            lines[MAX_FAILURES_SHOWN:] = [f"... and {len(lines) - MAX_FAILURES_SHOWN} more days"]
        return lines + ([f"stopped: {self.reason}"] if self.stopped else [])


def ratio(part: float, whole: float) -> float:
    """Divide; return 0 when ``whole`` is 0."""
    return part / whole if whole else 0.0
