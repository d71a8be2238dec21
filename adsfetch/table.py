"""Rows as CSV: any text survives, and on request no spreadsheet computes it."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from adsfetch.errors import DayError

PLAIN = frozenset((str, int, float, type(None)))
DATES = frozenset(("date", "day", "segments.date"))
FORMULA = re.compile(r"\s*[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*(e[+-]?\d+)?%?", re.IGNORECASE)
BATCH = 1000
LONGEST_FIELD = 2**31 - 1

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Many rows at once, for sources that are fast: plain cells in the order of ``names``."""

    names: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


class Table:
    """One shape of rows: its columns, and how their cells are written."""

    def __init__(self, columns: Sequence[str], *, escape_formulas: bool = False) -> None:
        self.columns = tuple(columns)
        self._escape = escape_formulas
        self._pick = itemgetter(*columns) if len(columns) > 1 else lambda row: (row[columns[0]],)

    @property
    def header(self) -> bytes:
        """Return the first line of every file of this shape."""
        return encode([self.columns])

    def lines(self, day: date, rows: Iterable[Row | Batch]) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the bytes of some rows after another."""
        todo = iter(rows)
        for first in todo:
            if isinstance(first, Batch):
                cells = self._of_batch(first)
            else:
                cells = [self._of_row(day, row) for row in chain([first], islice(todo, BATCH - 1))]
            yield len(cells), encode([*map(self._safe, cells)] if self._escape else cells)

    def _of_batch(self, batch: Batch) -> Sequence[Sequence[Any]]:
        if batch.names != self.columns:
            raise self._misfit(batch.names)
        return batch.rows

    def _of_row(self, day: date, row: Any) -> list[Any]:
        row = dated(day, row, self.columns)
        if len(row) != len(self.columns):
            raise self._misfit(row)
        try:
            cells = self._pick(row)
        except KeyError:
            raise self._misfit(row) from None
        return [cell if type(cell) in PLAIN else plain(cell) for cell in cells]

    def _safe(self, cells: Sequence[Any]) -> list[Any]:
        return [harmless(cell) for cell in cells]

    def _misfit(self, names: Iterable[str]) -> DayError:
        odd = ", ".join(sorted({*map(str, names)} ^ {*self.columns}))
        return DayError(
            f"a row and this dataset differ in their fields ({odd}): give every row the same "
            "fields, and rows of another kind another --dataset"
        )


def columns_of(first: Row | Batch) -> tuple[str, ...]:
    """Return the columns of a dataset by its first row, with a date in any case."""
    if isinstance(first, Batch):
        return first.names
    names = tuple(map(str, mapping(first)))
    return names if DATES & set(names) else ("date", *names)


def dated(day: date, row: Row, columns: Sequence[str]) -> Row:
    """Give a row its day where the dataset wants it and the source has left it out."""
    if "date" in columns and "date" not in mapping(row):
        return {"date": day, **row}
    return mapping(row)


def mapping(row: Row) -> Row:
    """Return the row, or raise DayError when it has no fields."""
    if not isinstance(row, dict | Mapping):
        raise DayError(f"the source gave a {type(row).__name__} where a mapping should be")
    return row


def plain(cell: Any) -> Any:
    """Return what people would write for a value that is neither text nor number."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, dict | list | tuple):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return str(cell)


def harmless(cell: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would compute; numbers stay."""
    if isinstance(cell, str) and FORMULA.match(cell) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def encode(rows: Sequence[Sequence[Any]]) -> bytes:
    """Return rows as lines of UTF-8 CSV that end in a newline.

    A lone carriage return is left bare by some versions of csv, so its lines are quoted whole.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    if "\r" in text.getvalue():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def read_rows(path: Path) -> Iterator[list[str]]:
    """Yield the lines of a CSV file, the header first."""
    csv.field_size_limit(LONGEST_FIELD)
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.reader(lines, strict=True)


def copy_body(path: Path, header: int, write: Callable[[bytes], object]) -> None:
    """Copy all of a file but its first ``header`` bytes."""
    with path.open("rb") as file:
        file.seek(header)
        while chunk := file.read(1 << 20):
            write(chunk)
