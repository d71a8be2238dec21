"""The formats of an export: NDJSON for programs, CSV for spreadsheets and `flask ... load`."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import NoneType
from typing import Any, NamedTuple

from app.json import encode
from app.loading.cells import write_text

Write = Callable[[Sequence[Sequence[Any]]], bytes]
"""Writes rows as lines, each with its end."""
GROUPS = "."
"""In the name of a column: before it is the member of the document that has the column."""


class Format(NamedTuple):
    """A format: ``make`` returns what comes before the rows, and what writes them."""

    name: str
    media_type: str
    make: Callable[[Sequence[str]], tuple[bytes, Write]]


def _make_ndjson(names: Sequence[str]) -> tuple[bytes, Write]:
    plain = [name for name in names if GROUPS not in name]
    groups: dict[str, list[str]] = {}
    for name in names[len(plain) :]:
        group, _, key = name.partition(GROUPS)
        groups.setdefault(group, []).append(key)

    def document(row: Sequence[Any]) -> dict[str, Any]:
        # zip() ends with ``plain``; the columns of groups come after all others.
        members: dict[str, Any] = dict(zip(plain, row, strict=False))
        at = len(plain)
        for group, keys in groups.items():
            members[group] = dict(zip(keys, row[at : at + len(keys)], strict=True))
            at += len(keys)
        return members

    return b"", lambda rows: b"".join([encode(document(row)) + b"\n" for row in rows])


def _make_csv(names: Sequence[str]) -> tuple[bytes, Write]:
    # Not by the module csv, which takes twice as long.
    def write(rows: Sequence[Sequence[Any]]) -> bytes:
        lines = [",".join([CELLS[type(value)](value) for value in row]) for row in rows]
        return "".join([f"{line}\r\n" for line in lines]).encode()

    return write([names]), write


def _text_cell(text: str) -> str:
    cell = write_text(text)
    if '"' in cell:
        return '"' + cell.replace('"', '""') + '"'
    return f'"{cell}"' if "," in cell or "\n" in cell or "\r" in cell else cell


CELLS: dict[type, Callable[[Any], str]] = {
    NoneType: lambda _: "",
    bool: lambda flag: "true" if flag else "false",
    int: str,
    float: repr,
    Decimal: str,
    datetime: lambda time: f"{time.astimezone(UTC).isoformat().removesuffix('+00:00')}Z",
    str: _text_cell,
}
NDJSON = Format("ndjson", "application/x-ndjson", _make_ndjson)
CSV = Format("csv", "text/csv", _make_csv)
FORMATS = {each.name: each for each in (CSV, NDJSON)}
"""The last one is for clients that accept any."""
