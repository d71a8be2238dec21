"""Days on their way to the disk, written by many threads at once."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

from adsfetch.storage import atomic as durable
from adsfetch.storage.csv import Batch, Row, Table, columns_of


@dataclass(frozen=True, slots=True)
class Draft:
    """A day that is complete on the disk and does not count yet."""

    day: date
    part: Path
    rows: int
    sha256: str


class Drafts:
    """Write drafts of one shape; without known columns the first row that comes sets them."""

    def __init__(self, folder: Path, columns: tuple[str, ...], *, escape_formulas: bool) -> None:
        self._folder = folder
        self._escape = escape_formulas
        self._lock = threading.Lock()
        self._table = self._shaped(columns) if columns else None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns, or nothing while there was no row."""
        return self._table.columns if self._table else ()

    def write(self, day: date, rows: Iterable[Row | Batch]) -> Draft:
        """Write the rows of a day as they come, never more than a batch in memory."""
        digest, count = hashlib.sha256(), 0
        with durable.writing(self._folder / f"{day}.csv") as part:
            for number, lines in self._lines(day, rows):
                part.write(lines)
                digest.update(lines)
                count += number
        return Draft(day, part.path, count, digest.hexdigest())

    def _lines(self, day: date, rows: Iterable[Row | Batch]) -> Iterator[tuple[int, bytes]]:
        coming = iter(rows)
        first = next(coming, None)
        table = self._agreed(first)
        if table:
            yield 0, table.header
        if table and first is not None:
            yield from table.lines(day, chain([first], coming))

    def _agreed(self, first: Row | Batch | None) -> Table | None:
        with self._lock:
            if self._table is None and first is not None:
                self._table = self._shaped(columns_of(first))
            return self._table

    def _shaped(self, columns: tuple[str, ...]) -> Table:
        return Table(columns, escape_formulas=self._escape)
