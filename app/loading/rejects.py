"""Files of rejected rows: written so that they can be corrected and loaded again as they are."""

import io
import re
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TextIO

from app.loading.csv_files import UNDECODABLE_BYTES, Row
from app.loading.files import Input, Output

ADDED_COLUMNS = (("line", "reason"), ("rejected line", "rejection reason"))
"""The two columns before those of the input: the first pair, unless the input has such a column."""
_HEADER = re.compile(
    r'((?i:sep)=.\r?\n)?"?(line|rejected line)"?[^a-z"]"?(reason|rejection reason)\b'
)


def is_rejects_file(head: bytes, encoding: str = "utf-8") -> bool:
    """Return whether a load wrote a file with these first bytes, in this encoding or any usual."""
    usual = head.lstrip(b"\xef\xbb\xbf\xff\xfe").replace(b"\0", b"").decode("latin-1")
    texts = (usual, head.decode(encoding, "replace"))
    return any(_HEADER.match(text) is not None for text in texts)


def count_added_columns(names: Sequence[str], used: Collection[str]) -> int:
    """Return how many of the first columns a load has added: 2 in a file of rejected rows, else 0.

    Columns that are ``used`` by name, and do not occur a second time, are the user's own.
    """
    first, others = tuple(names[:2]), names[2:]
    own = any(name in used and name not in others for name in first)
    return 2 if first in ADDED_COLUMNS and not own else 0


@dataclass(frozen=True)
class CsvFormat:
    """How a file is written: like the input, so that it can be loaded with the same options."""

    encoding: str
    delimiter: str
    has_separator_line: bool
    columns: Sequence[str]


class RejectsFile:
    """A CSV file of rejected rows with line and reason; it appears at the end of the load."""

    def __init__(self, path: str, source: Input, form: CsvFormat) -> None:
        self._output = Output(path, source, partial(is_rejects_file, encoding=form.encoding))
        self._form = form
        self._file: TextIO | None = None

    @property
    def path(self) -> str:
        return self._output.path

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._write_cells([str(row.line), row.reason, *row.cells])
        if self._file is not None:
            self._file.flush()

    def _write_cells(self, cells: Sequence[str]) -> None:
        if self._file is None:
            self._file = self._start()
        delimiter = self._form.delimiter
        self._file.write(delimiter.join(quote(cell, delimiter) for cell in cells) + "\n")

    def _start(self) -> TextIO:
        file = io.TextIOWrapper(
            self._output.open(), self._form.encoding, errors=UNDECODABLE_BYTES, newline=""
        )
        self._file = file
        if self._form.has_separator_line:
            file.write(f"sep={self._form.delimiter}\n")
        taken = set(self._form.columns)
        added = next((pair for pair in ADDED_COLUMNS if not taken & {*pair}), ADDED_COLUMNS[-1])
        self._write_cells([*added, *self._form.columns])
        return file

    def close(self) -> None:
        """Replace the file of an earlier load, or delete it if no row was rejected."""
        if self._file is None:
            self._output.discard()
        else:
            with suppress(OSError):  # write() has reported it
                self._file.close()
            self._output.keep()


def quote(cell: str, delimiter: str) -> str:
    """Return ``cell`` as any reader of CSV takes it for the same text.

    The module csv leaves a carriage return, and blanks at the ends, without quotes.
    """
    plain = cell.splitlines() == [cell] and cell == cell.strip()
    if cell and (not plain or delimiter in cell or '"' in cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
