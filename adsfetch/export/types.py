"""The types of columns, as the source told them or as the texts allow, in the words of Arrow."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from adsfetch.errors import StoreError
from adsfetch.export.rows import Columns

ARROW_TYPES = {
    "int64": pa.int64(),
    "double": pa.float64(),
    "decimal": pa.decimal128(19, 6),  # any 64 bits of micros
    "bool": pa.bool_(),
    "date": pa.date32(),
    "enum": pa.dictionary(pa.int32(), pa.string()),
    "json": pa.string(),
    "string": pa.string(),
}
"""The types of ``Batch``, which are also those of dataset.json."""
INTEGER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)
NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


def is_date(text: str) -> bool:
    """Return whether a text is a date in the form 2024-02-29."""
    try:
        return bool(DATE.fullmatch(text) and date.fromisoformat(text))
    except ValueError:
        return False


def is_double(text: str) -> bool:
    """Return whether a text is a number that a double has exactly, when it is written again."""
    return bool(NUMBER.fullmatch(text)) and Decimal(text) == Decimal(repr(float(text)))


FITS: dict[str, Callable[[str], object]] = {
    "bool": {"true", "false"}.__contains__,
    "date": is_date,
    "int64": INTEGER.fullmatch,
    "double": is_double,
}
"""Whether a text can have a type without a loss; the first one that fits all texts is taken."""


class Inference:
    """Find the type of each column that loses nothing of its texts; blank ones fit any type.

    A column without any text is a string, and so is one whose numbers have leading zeros.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._possible = {name: set(FITS) for name in names}
        self._with_text: set[str] = set()

    @property
    def types(self) -> dict[str, str]:
        """Return the type of each column, by all rows so far."""
        return {
            name: next((t for t in FITS if t in possible and name in self._with_text), "string")
            for name, possible in self._possible.items()
        }

    def fits(self, types: Mapping[str, str]) -> bool:
        """Return whether all rows so far can have these types."""
        return all(
            types[name] not in FITS or types[name] in possible
            for name, possible in self._possible.items()
        )

    def add(self, names: Sequence[str], columns: Columns) -> None:
        """Look at some rows."""
        for name, cells in zip(names, columns, strict=True):
            if name in self._possible and (texts := {*cells} - {""}):
                self._with_text.add(name)
                self._possible[name] = narrowed(self._possible[name], texts)


def narrowed(possible: set[str], texts: set[str]) -> set[str]:
    """Return which of the possible types fit these texts, too."""
    for text in texts:
        if not possible:
            break
        possible = {name for name in possible if FITS[name](text)}
    return possible


def types_of(schema: Any) -> dict[str, str]:
    """Return the type of each column of a schema of Arrow; a string for one of no type of ours."""
    names = {arrow: name for name, arrow in ARROW_TYPES.items()}
    return {field.name: names.get(field.type, "string") for field in schema}


def array_of(name: str, cells: Sequence[str], arrow_type: Any) -> Any:
    """Return a column as an array of Arrow; blank cells are null.

    Raise StoreError for a text that is not of the type.
    """
    texts = pa.array(cells, pa.string())
    texts = pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
    try:
        return texts.cast(arrow_type)
    except pa.ArrowInvalid as error:
        raise StoreError(f"{name} is recorded as {arrow_type}, but {error}") from error


def merged(batches: Iterable[Any], rows: int, size: int) -> Iterator[Any]:
    """Yield tables of about this number of rows or bytes, so that few row groups are written."""
    waiting: list[Any] = []
    for batch in batches:
        waiting.append(batch)
        if sum(b.num_rows for b in waiting) >= rows or sum(b.nbytes for b in waiting) >= size:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()
