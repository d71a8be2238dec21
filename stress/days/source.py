"""A source that fails in every way that a source can, on the days that a step names."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from adsfetch import UnavailableError
from adsfetch.sources import Source

HEADER = b"date,n\n"
TROUBLES = (
    "no message",
    "late",
    "exit",
    "no rows object",
    "no mapping",
    "other fields",
    "other day",
    "no date",
    "unavailable",
    "empty",
)


class TroubledSource(Source):
    """Return different rows with each call, so that an old version is recognised."""

    name = identity = "days"
    call_timeout = 30.0

    def __init__(self, version: int, troubles: Mapping[date, str]) -> None:
        self._version, self._troubles = version, troubles
        self.calls: set[date] = set()

    def fetch_data(self, day: date) -> Iterable[Any]:
        self.calls.add(day)
        trouble = self._troubles.get(day)
        if trouble == "no message":
            raise RuntimeError
        if trouble == "exit":
            raise SystemExit(0)
        if trouble == "unavailable":
            raise UnavailableError
        if trouble == "no rows object":
            return None  # type: ignore[return-value] # what a forgotten return does
        return self._rows(day, trouble)

    def delivered(self, day: date) -> set[bytes]:
        """Return what may be stored for a day that was called; nothing if it must fail."""
        trouble = self._troubles.get(day)
        if trouble == "empty":
            return {HEADER, b""}
        if trouble or day not in self.calls:
            return set()
        lines = (f"{row['date']},{row['n']}\n".encode() for row in self._rows(day, None))
        return {HEADER + b"".join(lines)}

    def is_unavailable(self, day: date) -> bool:
        return day in self.calls and self._troubles.get(day) == "unavailable"

    def _rows(self, day: date, trouble: str | None) -> Iterator[Any]:
        if trouble == "empty":
            return
        for number in range(1 + day.day % 3):
            yield {"date": day, "n": 10 * self._version + number}
        wrong = {
            "no mapping": 5,
            "other fields": {"date": day, "m": 1},
            "other day": {"date": day + timedelta(1), "n": 1},
            "no date": {"date": "soon", "n": 1},
        }
        if trouble == "late":
            raise OSError
        if trouble:
            yield wrong[trouble]
