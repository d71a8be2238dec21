"""Columns of a CSV file: which column is which field, and the values of a row."""

import re
import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields

from app.api.fields import KeyText, Price, StrictBoolean
from app.loading.cells import (
    parse_comma_amount,
    parse_identifier,
    parse_integer,
    parse_point_amount,
    parse_text,
)
from app.loading.csv_files import Row
from app.loading.files import LoadError, one_line

DELIMITERS = {";": "';'", "\t": "tab", "|": "'|'", ",": "','", ":": "':'"}
"""The usual delimiters, as the user writes them after --delimiter."""
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


class Rfc3339DateTime(fields.AwareDateTime):
    """A time in the format of RFC 3339, with its offset."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        text = str(value).strip().upper()
        with suppress(ValueError, OverflowError):
            if _RFC_3339.fullmatch(text):
                return datetime.fromisoformat(text).astimezone(UTC)
        raise ValidationError("Not an RFC 3339 time with its offset, such as 2024-01-31T09:30:00Z.")


class Flag(StrictBoolean):
    """``true`` or ``false``, which spreadsheets write in capitals."""

    def parse_cell(self, cell: str) -> str:
        return parse_text(cell).lower()


class Identifier(KeyText):
    """A text that identifies something, and that a spreadsheet may have taken for a number."""

    def parse_cell(self, cell: str) -> str:
        return parse_identifier(cell)


def map_columns(
    field_names: Sequence[str], columns: Sequence[str], mappings: Mapping[str, str]
) -> dict[str, int]:
    """Return the index in ``columns`` of each field of ``field_names``; raise LoadError.

    ``mappings`` maps fields to columns; a field that is mapped to "" is left out. Any other field
    has the column of the same name, unless that column is mapped to another field.
    """
    for name, column in mappings.items():
        if name not in field_names:
            raise LoadError(
                f"--map {name}={column}: no such field; fields: {', '.join(field_names)}."
            )
        if column and column not in columns:
            raise LoadError(f"--map {name}={column}: no such column.")
    taken = set(mappings.values())
    same_name = {name: name for name in field_names if name in columns and name not in taken}
    mapped = {name: column for name, column in {**same_name, **mappings}.items() if column}
    for column in mapped.values():
        if columns.count(column) > 1:
            raise LoadError(f"Two columns are named {column}.")
    return {name: columns.index(column) for name, column in mapped.items()}


def describe_columns(
    field_names: Collection[str], mapped: Collection[str], delimiter: str, columns: Sequence[str]
) -> str:
    """Return the names of the columns that were found, and what a missing one may come from."""
    wanted = {*field_names, *mapped}
    # A name that contains the delimiter is shown in quotes: it is one column.
    shown = (f'"{name}"' if delimiter in name else name for name in columns)
    found = f"Columns found: {one_line(', '.join(shown))}."
    line = delimiter.join(columns)
    for other, option in DELIMITERS.items():
        parts = [part.strip(" \"'") for part in line.split(other)]
        if other != delimiter and len({*parts} & wanted) > len({*columns} & wanted):
            return f"{found} They look separated by {option}: use --delimiter {option}."
        if other != delimiter and len(columns) == 1 < len(parts):
            return f"{found} If they are separated by {option}, use --delimiter {option}."
    similar = {_letters(column): column for column in columns}
    pairs = [(n, similar[_letters(n)]) for n in field_names if _letters(n) in similar]
    options = [f"--map {shlex.quote(f'{n}={column}')}" for n, column in pairs if n != column]
    return f"{found} Perhaps: {one_line(' '.join(options))}." if options else found


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.casefold()))


class RowParser:
    """Parses the cells of a row and validates them by a schema."""

    def __init__(
        self, schema: Schema, indexes: Mapping[str, int], width: int, *, decimal_comma: bool
    ) -> None:
        missing = [n for n, f in schema.fields.items() if f.required and n not in indexes]
        if missing:
            options = " ".join(f"--map {name}=COLUMN" for name in missing)
            raise LoadError(f"No column for {', '.join(missing)}; name it: {options}.")
        self.fields = set(indexes)
        self._schema = schema
        self._width = width
        self._columns = [
            (name, at, _parser_of(schema.fields[name], decimal_comma))
            for name, at in indexes.items()
        ]

    def parse(self, row: Row) -> None:
        """Set the values of the row, or reject it. A blank cell sets no value."""
        if len(row.cells) != self._width:
            row.reject(self._explain_width(row.cells))
            return
        try:
            loaded = self._schema.load(self._parse_cells(row.cells))
        except ValidationError as error:
            messages = error.messages_dict.items()
            row.reject("; ".join(f"{name}: {' '.join(texts)}" for name, texts in messages))
        else:
            row.values = {name: value for name, value in loaded.items() if value is not None}

    def _explain_width(self, cells: Sequence[str]) -> str:
        reason = f"{len(cells)} columns where {self._width} are expected"
        others = [d for d in DELIMITERS if len(cells) == 1 and d in cells[0]]
        return f"{reason}; is --delimiter {DELIMITERS[others[0]]} missing?" if others else reason

    def _parse_cells(self, cells: Sequence[str]) -> dict[str, Any]:
        parsed: dict[str, Any] = {}
        for name, at, parse in self._columns:
            try:
                value = parse(cells[at])
            except ValueError as error:
                raise ValidationError({name: [str(error)]}) from None
            if value != "":
                parsed[name] = value
        return parsed


def _parser_of(field: fields.Field[Any], decimal_comma: bool) -> Callable[[str], Any]:
    """Return the function that parses a cell of ``field``; it returns "" for a blank cell."""
    if isinstance(field, fields.Integer):
        return parse_integer
    if isinstance(field, Price):
        return parse_comma_amount if decimal_comma else parse_point_amount
    parse: Callable[[str], Any] = getattr(field, "parse_cell", parse_text)
    return parse
