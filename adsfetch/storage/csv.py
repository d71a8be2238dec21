"""Rows as CSV: any text survives, and on request no spreadsheet computes it."""

import csv
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

DATES = frozenset(("date", "day", "segments.date"))
FORMULA = re.compile(r"\s*[=+\-@\t\r]")
LURKING = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*(e[+-]?\d+)?%?", re.IGNORECASE)
BATCH = 1000
LONGEST_FIELD = 2**31 - 1

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Batch:
    """Many rows at once, for sources that are fast: a column of texts for each of ``names``."""

    names: tuple[str, ...]
    columns: Sequence[Sequence[str]]


class Table:
    """One shape of rows: its columns, and how their cells are written."""

    def __init__(self, columns: Sequence[str], *, escape_formulas: bool = False) -> None:
        self.columns = tuple(columns)
        self._escape = escape_formulas
        self._pick = itemgetter(*columns) if len(columns) > 1 else lambda row: (row[columns[0]],)

    @property
    def header(self) -> bytes:
        """Return the first line of every file of this shape."""
        return encode([[name] for name in self.columns])

    def lines(self, day: date, rows: Iterable[Row | Batch]) -> Iterator[tuple[int, bytes]]:
        """Yield the number and the bytes of some rows after another."""
        todo = iter(rows)
        for first in todo:
            if isinstance(first, Batch):
                columns = self._of_batch(first)
            else:
                some = chain([first], islice(todo, BATCH - 1))
                columns = list(zip(*[self._of_row(day, row) for row in some], strict=True))
            yield len(columns[0]), encode([*map(harmless, columns)] if self._escape else columns)

    def _of_batch(self, batch: Batch) -> Sequence[Sequence[str]]:
        if batch.names != self.columns:
            raise self._misfit(batch.names)
        return batch.columns

    def _of_row(self, day: date, row: Any) -> list[str]:
        row = dated(day, row, self.columns)
        if len(row) != len(self.columns):
            raise self._misfit(row)
        try:
            cells = self._pick(row)
        except KeyError:
            raise self._misfit(row) from None
        return [cell if type(cell) is str else text(cell) for cell in cells]

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


def text(cell: Any) -> str:
    """Return what people would write for a value."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, dict | list | tuple):
        return json.dumps(cell, ensure_ascii=False, default=str)
    return str(cell)


def harmless(column: Sequence[str]) -> Sequence[str]:
    """Put an apostrophe before each text that a spreadsheet would compute; numbers stay."""
    if not LURKING.search("".join(column)):
        return column
    return [f"'{c}" if FORMULA.match(c) and not NUMBER.fullmatch(c) else c for c in column]


def encode(columns: Sequence[Sequence[str]]) -> bytes:
    """Return columns as lines of UTF-8 CSV that end in a newline.

    The module csv looks at each character of each cell in turn, and at that four times; to
    look at a column as a whole, which seldom needs quotes at all, takes a quarter of its time.
    """
    cells = list(map(quoted, columns))
    if len(cells) == 1:
        cells = [[cell or '""' for cell in cells[0]]]  # an empty line would be no row at all
    lines = [*map(",".join, zip(*cells, strict=True)), ""]
    return "\n".join(lines).encode("utf-8", "backslashreplace")


def quoted(column: Sequence[str]) -> Sequence[str]:
    """Put quotes around the cells that need them."""
    if not is_special("".join(column)):
        return column
    return [in_quotes(cell) if is_special(cell) else cell for cell in column]


def is_special(text: str) -> bool:
    """Tell whether there is anything in a text that CSV takes for its own."""
    return "," in text or '"' in text or "\n" in text or "\r" in text


def in_quotes(cell: str) -> str:
    """Return a cell as CSV has any text."""
    return '"' + cell.replace('"', '""') + '"'


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
