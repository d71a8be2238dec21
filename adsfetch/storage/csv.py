"""Rows as lines of CSV; any text is preserved, and formulas are escaped on request."""

import csv
import json
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from itertools import chain, islice
from math import isfinite, isnan
from operator import itemgetter
from pathlib import Path
from typing import Any

from adsfetch.errors import DayError
from adsfetch.sources import Batch, Row

DATE_COLUMNS = frozenset(("date", "day", "segments.date"))
FORMULA = re.compile(r"\s*[=+\-@\t\r]")
FORMULA_CHARS = re.compile(r"[=+\-@\t\r]")
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*(e[+-]?\d+)?%?", re.IGNORECASE)
ROWS_AT_ONCE = 1000

Check = Callable[[Sequence[str], Sequence[Sequence[str]]], None]


class RowEncoder:
    """Encode rows that have the same columns as lines of CSV."""

    def __init__(self, columns: Sequence[str], *, escape_formulas: bool = False) -> None:
        self.columns = tuple(columns)
        self._escape = escape_formulas
        self._pick = itemgetter(*columns) if len(columns) > 1 else lambda row: (row[columns[0]],)

    @property
    def header(self) -> bytes:
        return encode([[name] for name in self.columns])

    def encode_rows(
        self, day: date, rows: Iterable[Row | Batch], check: Check | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield chunks: the number of rows, and their lines; ``check`` sees their columns."""
        remaining = iter(rows)
        for first in remaining:
            if isinstance(first, Batch):
                columns = self._columns_of_batch(first)
            else:
                chunk = chain([first], islice(remaining, ROWS_AT_ONCE - 1))
                columns = list(zip(*[self._cells_of_row(day, row) for row in chunk], strict=True))
            if check:
                check(self.columns, columns)
            escaped = [escape_formulas(column) for column in columns] if self._escape else columns
            yield len(columns[0]), encode(escaped)

    def check_fields(self, names: Sequence[str]) -> None:
        """Raise DayError unless these are the columns, in any order."""
        if {*names} != {*self.columns}:
            raise self._different_fields(names)

    def _columns_of_batch(self, batch: Batch) -> Sequence[Sequence[str]]:
        if batch.names != self.columns:
            raise self._different_fields(batch.names)
        return batch.columns

    def _cells_of_row(self, day: date, row: Any) -> list[str]:
        row = with_date(day, row, self.columns)
        if len(row) != len(self.columns):
            raise self._different_fields(row)
        try:
            cells = self._pick(row)
        except KeyError:
            raise self._different_fields(row) from None
        return [cell if type(cell) is str else as_text(cell) for cell in cells]

    def _different_fields(self, names: Iterable[str]) -> DayError:
        odd = ", ".join(sorted({*map(str, names)} ^ {*self.columns})) or "names that are no texts"
        return DayError(
            f"a row and this dataset differ in their fields ({odd}): give every row the same "
            "fields, and use another --dataset for rows of another kind"
        )


def columns_of(first: Row | Batch) -> tuple[str, ...]:
    """Return the columns of a dataset by its first row; a date column is added where none is."""
    if isinstance(first, Batch):
        return first.names
    names = tuple(map(str, as_mapping(first)))
    if len(set(names)) < len(names):
        raise DayError("the source returned a row in which two fields have the same name")
    return names if DATE_COLUMNS & set(names) else ("date", *names)


def with_date(day: date, row: Row, columns: Sequence[str]) -> Row:
    """Add the day to a row that has no date, where the dataset has a date column."""
    row = as_mapping(row)
    return {"date": day, **row} if "date" in columns and "date" not in row else row


def as_mapping(row: Row) -> Row:
    """Return the row, or raise DayError when it is not a mapping."""
    if not isinstance(row, dict | Mapping):
        raise DayError(f"the source returned a row of type {type(row).__name__}, not a mapping")
    return row


def as_text(cell: Any) -> str:
    """Return the text of a value: lists and mappings as JSON, bytes in base64, NaN as nothing."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, Mapping | list | tuple | set | frozenset):
        return json.dumps(as_json(cell), ensure_ascii=False, allow_nan=False)
    value = as_json(cell)
    return "" if value is None else str(value)


def as_json(value: Any) -> Any:
    """Return a value in the types of JSON; a set has the order of its texts."""
    if isinstance(value, Mapping):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((as_json(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return as_scalar(value)


def as_scalar(value: Any) -> str | int | float | None:
    """Return a single value in the types of JSON, which has no infinity, date or bytes."""
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode("ascii")
    if isinstance(value, float | Decimal) and isnan(value):
        return None
    if isinstance(value, float) and isfinite(value):
        return value
    return value if value is None or isinstance(value, int | str) else str(value)


def escape_formulas(column: Sequence[str]) -> Sequence[str]:
    """Put an apostrophe before each text that a spreadsheet would evaluate; numbers stay."""
    if not FORMULA_CHARS.search("".join(column)):
        return column
    return [f"'{c}" if FORMULA.match(c) and not NUMBER.fullmatch(c) else c for c in column]


def encode(columns: Sequence[Sequence[str]]) -> bytes:
    """Return columns as lines of UTF-8 CSV, each with a newline at its end.

    The csv module looks at every character of every cell four times. A search in a whole
    column, which seldom needs quotes, takes a quarter of that time.
    """
    cells = list(map(quote_column, columns))
    if len(cells) == 1:
        cells = [[cell or '""' for cell in cells[0]]]  # an empty line would not be a row
    lines = [*map(",".join, zip(*cells, strict=True)), ""]
    return "\n".join(lines).encode("utf-8", "backslashreplace")


def quote_column(column: Sequence[str]) -> Sequence[str]:
    """Put quotes around the cells that need them."""
    if not needs_quotes("".join(column)):
        return column
    return [quote(cell) if needs_quotes(cell) else cell for cell in column]


def needs_quotes(text: str) -> bool:
    """Return whether a text contains a character with a meaning in CSV."""
    return "," in text or '"' in text or "\n" in text or "\r" in text


def quote(cell: str) -> str:
    """Return a cell in quotes."""
    return '"' + cell.replace('"', '""') + '"'


def read_rows(path: Path) -> Iterator[list[str]]:
    """Yield the lines of a CSV file, the header first.

    Raise csv.Error or ValueError for what is not CSV in UTF-8, OSError for what cannot be read.
    """
    csv.field_size_limit(2**31 - 1)
    with path.open(encoding="utf-8", newline="") as lines:
        yield from csv.reader(lines, strict=True)
