"""The dates in the rows of a day: a source is believed only if they are of the day asked for."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache

from adsfetch.dates import readings_of_cell
from adsfetch.storage.csv import DATE_COLUMNS

ALSO_DATE = "day"
"""A column that is checked only where there is no other, and only where its text is a date.

A name in capital letters, such as ``Date``, is that of another column beside the date, and is
checked in the same way.
"""
MUST_BE_DATE = sorted(DATE_COLUMNS - {ALSO_DATE})


class RowDates:
    """Count the rows whose date is not ``day``.

    A date that can be read in two ways is right if one of them is the day. A text that is not a
    date is wrong.
    """

    def __init__(self, day: date) -> None:
        self._day = day
        self._is_right = lru_cache(maxsize=1000)(self._read)
        self.rows = self.wrong = 0
        self._example = ""

    @property
    def problem(self) -> str:
        """Return how many rows are of another day; an empty string if none is."""
        text = f"{self.wrong} of {self.rows} rows are not of {self._day}, such as {self._example}"
        return text if self.wrong else ""

    def add_columns(self, names: Sequence[str], columns: Sequence[Sequence[str]]) -> None:
        """Count some rows, given as columns."""
        self.rows += len(columns[0])
        dated = date_columns(names)
        cells = [
            (name, column) for name, column in zip(names, columns, strict=True) if name in dated
        ]
        if all(self._is_right(name, text) for name, column in cells for text in set(column)):
            return
        checks = [[self._is_right(name, text) for text in column] for name, column in cells]
        self.wrong += sum(not all(row) for row in zip(*checks, strict=True))

    def _read(self, name: str, text: str) -> bool:
        days = readings_of_cell(text)
        right = self._day in days or (name not in MUST_BE_DATE and not days)
        if not right and not self._example:
            self._example = f"{name} {text[:40]!r}"
        return right


def date_columns(names: Sequence[str]) -> list[str]:
    """Return the names that are those of a date column, also those in capital letters."""
    capital = [name for name in names if name not in DATE_COLUMNS and name.lower() in DATE_COLUMNS]
    return [*([name for name in MUST_BE_DATE if name in names] or [ALSO_DATE]), *capital]
