"""What a run did, in figures, for people and for programs."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from adsfetch.errors import FatalError
from adsfetch.fetch.metrics import Meter
from adsfetch.fetch.outcome import DayFailure

INTERRUPTED = 130
SHOWN = 10


@dataclass
class Summary:
    """The outcome of one run; seconds unless a name says otherwise."""

    dataset: str
    first: date
    last: date
    asked: int = 0
    fetched: int = 0
    empty: int = 0
    rows: int = 0
    failed: list[DayFailure] = field(default_factory=list)
    stopped: FatalError | KeyboardInterrupt | None = None
    wall: float = 0.0
    fetching: float = 0.0
    aggregating: float = 0.0
    throttled: float = 0.0
    meter: Meter = field(default_factory=Meter)
    source: str = ""

    def count(self, rows: int) -> None:
        """Add one day that was fetched."""
        self.fetched += 1
        self.rows += rows
        self.empty += not rows

    @property
    def exit_code(self) -> int:
        """Return what the command ends with."""
        if isinstance(self.stopped, FatalError):
            return self.stopped.exit_code
        return INTERRUPTED if self.stopped else int(bool(self.failed))

    @property
    def reason(self) -> str:
        """Say why the run stopped before its end, if it did."""
        if isinstance(self.stopped, KeyboardInterrupt):
            return "interrupted"
        return str(self.stopped) if self.stopped else ""

    def as_json(self) -> dict[str, Any]:
        """Return everything by name."""
        median, slow = self.meter.percentiles()
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
                {"day": str(f.day), "reason": f.reason, "tries": f.tries} for f in self.by_day()
            ],
            "rows": self.rows,
            "wall_seconds": round(self.wall, 3),
            "fetch_seconds": round(self.fetching, 3),
            "aggregate_seconds": round(self.aggregating, 3),
            "rows_per_second": round(ratio(self.rows, self.fetching)),
            "calls": self.meter.calls,
            "retries": dict(self.meter.retries),
            "throttled_seconds": round(self.throttled, 3),
            "call_p50_seconds": round(median, 4),
            "call_p95_seconds": round(slow, 4),
            "speed_up": round(ratio(self.meter.busy, self.fetching), 1),
            "stopped": self.reason,
            "exit_code": self.exit_code,
        }

    def as_text(self) -> str:
        """Return a few lines for people."""
        return "\n".join([self._days(), *self._cost(), *self._trouble()])

    def by_day(self) -> list[DayFailure]:
        """Return the failures, oldest first."""
        return sorted(self.failed, key=lambda failure: failure.day)

    def _days(self) -> str:
        days = f"{self.dataset}: {self.first} to {self.last}"
        if not self.asked:
            return f"{days}, nothing to do: all days are final"
        empty = f" ({self.empty} of them empty)" if self.empty else ""
        return f"{days}, {self.fetched} of {self.asked} days fetched{empty}, {self.rows} rows"

    def _cost(self) -> list[str]:
        if not self.meter.calls:
            return []
        figures = self.as_json()
        causes = ", ".join(
            f"{count} {cause}" for cause, count in sorted(self.meter.retries.items())
        )
        return [
            f"source: {self.source}",
            f"time: {self.wall:.2f} s "
            f"(fetch {self.fetching:.2f}, aggregate {self.aggregating:.2f}), "
            f"{figures['rows_per_second']} rows/s, {figures['speed_up']} x sequential",
            f"calls: {self.meter.calls}, p50 {figures['call_p50_seconds'] * 1000:.0f} ms, "
            f"p95 {figures['call_p95_seconds'] * 1000:.0f} ms, "
            f"retries: {causes or 'none'}, throttled {self.throttled:.1f} s",
        ]

    def _trouble(self) -> list[str]:
        lines = [f"failed {f.day}: {f.reason} (tries: {f.tries})" for f in self.by_day()]
        if len(lines) > SHOWN:
            lines[SHOWN:] = [f"... and {len(lines) - SHOWN} more days"]
        return lines + ([f"stopped: {self.reason}"] if self.stopped else [])


def ratio(part: float, whole: float) -> float:
    """Divide, where nothing by nothing is nothing."""
    return part / whole if whole else 0.0
