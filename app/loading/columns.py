"""What the cells of a CSV file mean: which column is which field, and what spreadsheets do."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from marshmallow import Schema, ValidationError, fields

from app.api.fields import Price
from app.loading.csv_files import LoadError, Row, holds_bytes

_WHOLE = re.compile(r"\s*([+-]?[0-9]{1,18})(?:\.0*)?\s*", re.ASCII)
_WITH_COMMA = re.compile(r"([0-9]+)(?:,([0-9]{1,2}))?", re.ASCII)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


class Moment(fields.AwareDateTime):
    """A moment as RFC 3339 writes it."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> datetime:
        text = str(value).strip().upper()
        try:
            if _RFC_3339.fullmatch(text):
                return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise ValidationError("Not a moment as RFC 3339 writes it, such as 2024-01-31T09:30:00Z.")


def name_columns(
    known: Sequence[str], columns: Sequence[str], chosen: Mapping[str, str]
) -> dict[str, int]:
    """Find for each field of ``known`` its place in ``columns``; raise LoadError.

    ``chosen`` names columns for fields, and no column for a field that is to be left out. Any
    other field has the column of its own name, unless that was chosen for another field.
    """
    for name, column in chosen.items():
        if name not in known:
            raise LoadError(f"--map {name}={column}: no such field; there are {_list(known)}.")
        if column and column not in columns:
            raise LoadError(f"--map {name}={column}: no such column; there are {_list(columns)}.")
    taken = set(chosen.values())
    own = {name: name for name in known if name in columns and name not in taken}
    found = {name: column for name, column in {**own, **chosen}.items() if column}
    for column in found.values():
        if columns.count(column) > 1:
            raise LoadError(f"Two columns are named {column}.")
    return {name: columns.index(column) for name, column in found.items()}


def _list(names: Sequence[str]) -> str:
    return ", ".join(names)


class Cells:
    """Reads the cells of a row by the rules of a schema."""

    def __init__(
        self,
        schema: Schema,
        places: Mapping[str, int],
        width: int,
        *,
        decimal_comma: bool = False,
    ) -> None:
        missing = [n for n, f in schema.fields.items() if f.required and n not in places]
        if missing:
            wanted = " ".join(f"--map {name}=COLUMN" for name in missing)
            raise LoadError(f"No column for {_list(missing)}; name it: {wanted}.")
        self.fields = set(places)
        self._schema = schema
        self._width = width
        self._places = [
            (name, at, _reader(schema.fields[name], decimal_comma)) for name, at in places.items()
        ]

    def read(self, row: Row) -> None:
        """Give the row its values, or reject it. A blank cell gives none."""
        if len(row.cells) != self._width:
            row.reject(f"{len(row.cells)} columns where {self._width} are expected")
        elif any(map(holds_bytes, row.cells)):
            row.reject("bytes that are no text in this encoding")
        else:
            self._load(row)

    def _load(self, row: Row) -> None:
        try:
            loaded = self._schema.load(self._given(row.cells))
        except ValidationError as error:
            row.reject(_sentence(error.messages))
        else:
            row.values = {name: value for name, value in loaded.items() if value is not None}

    def _given(self, cells: Sequence[str]) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for name, at, read in self._places:
            if cells[at].strip():
                try:
                    given[name] = read(cells[at])
                except ValueError as error:
                    raise ValidationError({name: [str(error)]}) from None
        return given


def _reader(field: fields.Field[Any], decimal_comma: bool) -> Callable[[str], Any]:
    """Choose what makes a value of a cell."""
    if isinstance(field, fields.Integer):
        return _number
    if isinstance(field, Price):
        return _with_comma if decimal_comma else _with_point
    return str


def _with_point(cell: str) -> str:
    """Return an amount without outer space; a comma is not guessed at, it may mean thousands."""
    text = cell.strip()
    if _WITH_COMMA.fullmatch(text) and "," in text:
        raise ValueError("Has a decimal comma; where all prices of the file do: --decimal-comma.")
    return text


def _with_comma(cell: str) -> str:
    """Return an amount of a file with decimal commas; a point is not guessed at either."""
    text = cell.strip()
    if not _WITH_COMMA.fullmatch(text):
        raise ValueError("Not an amount: digits, and at most two decimals after a comma.")
    return text.replace(",", ".")


def _number(cell: str) -> int | str:
    """Return a whole number, which a spreadsheet may have written as ``2008.0``."""
    found = _WHOLE.fullmatch(cell)
    return int(found[1]) if found else cell


def _sentence(messages: Any) -> str:
    if isinstance(messages, Mapping):
        return "; ".join(f"{name}: {_sentence(below)}" for name, below in messages.items())
    return " ".join(map(str, messages))
