"""Columns of a CSV file: which column is which field, and the formats that spreadsheets write."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields

from app.api.fields import Price
from app.loading.csv_files import LoadError, Row, has_undecodable_bytes

_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*", re.ASCII)
_COMMA_AMOUNT = re.compile(r"([0-9]+)(?:,([0-9]{1,2}))?", re.ASCII)
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
            names = ", ".join(columns)
            raise LoadError(f"--map {name}={column}: no such column; columns: {names}.")
    taken = set(mappings.values())
    same_name = {name: name for name in field_names if name in columns and name not in taken}
    mapped = {name: column for name, column in {**same_name, **mappings}.items() if column}
    for column in mapped.values():
        if columns.count(column) > 1:
            raise LoadError(f"Two columns are named {column}.")
    return {name: columns.index(column) for name, column in mapped.items()}


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
            row.reject(f"{len(row.cells)} columns where {self._width} are expected")
            return
        if any(map(has_undecodable_bytes, row.cells)):
            row.reject("bytes that are invalid in this encoding")
            return
        try:
            loaded = self._schema.load(self._parse_cells(row.cells))
        except ValidationError as error:
            messages = error.messages_dict.items()
            row.reject("; ".join(f"{name}: {' '.join(texts)}" for name, texts in messages))
        else:
            row.values = {name: value for name, value in loaded.items() if value is not None}

    def _parse_cells(self, cells: Sequence[str]) -> dict[str, Any]:
        parsed: dict[str, Any] = {}
        for name, at, parse in self._columns:
            if cells[at].strip():
                try:
                    parsed[name] = parse(cells[at])
                except ValueError as error:
                    raise ValidationError({name: [str(error)]}) from None
        return parsed


def _parser_of(field: fields.Field[Any], decimal_comma: bool) -> Callable[[str], Any]:
    """Return the function that parses a cell of ``field``."""
    if isinstance(field, fields.Integer):
        return _parse_integer
    if isinstance(field, Price):
        return _parse_comma_amount if decimal_comma else _parse_point_amount
    return str


def _parse_point_amount(cell: str) -> str:
    """Return an amount without outer space; reject a comma, which may separate thousands."""
    text = cell.strip()
    if _COMMA_AMOUNT.fullmatch(text) and "," in text:
        raise ValueError("Has a decimal comma; if all prices in the file do, use --decimal-comma.")
    return text


def _parse_comma_amount(cell: str) -> str:
    """Return an amount of a file with decimal commas; reject a point, for the same reason."""
    text = cell.strip()
    if not _COMMA_AMOUNT.fullmatch(text):
        raise ValueError("Not an amount: digits, with at most two decimals after a comma.")
    return text.replace(",", ".")


def _parse_integer(cell: str) -> int | str:
    """Return an integer, also from ``2008.0`` as spreadsheets write it, else the cell itself."""
    match = _INTEGER.fullmatch(cell)
    return int(match[1]) if match else cell
