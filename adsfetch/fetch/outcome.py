"""What becomes of a day: a report or a failure, never a surprise."""

from dataclasses import dataclass
from datetime import date
from typing import Generic, TypeVar

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class DayReport(Generic[Kept]):
    """A day that was fetched; ``rows`` is what the caller's ``keep`` made of its rows."""

    day: date
    rows: Kept
    tries: int = 1


@dataclass(frozen=True, slots=True)
class DayFailure:
    """A day that was given up, and the last error it met."""

    day: date
    error: Exception
    tries: int = 1

    @property
    def reason(self) -> str:
        """Say what happened in one line."""
        text = " ".join(str(self.error).split())
        name = type(self.error).__name__
        return text if name in text or not text else f"{name}: {text}"
