"""CSV files: read rows of a file of any size, and write rejected rows to another.

A malformed record never affects the records after it.
"""

import codecs
import csv
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

MAX_RECORD_CHARACTERS = 1_000_000
"""Of one record with all of its lines; a longer record is rejected, to bound the memory."""
MAX_SHOWN_CHARACTERS = 10_000
"""Of a malformed line, in the file of rejected rows."""
UNDECODABLE_BYTES = "bookstall.bytes"
"""The name of our codec error handler."""
_BYTE, _LAST_BYTE = 0xDC00, 0xDCFF


class LoadError(Exception):
    """The load cannot start, for a reason in one line; nothing has been written."""


@dataclass(slots=True)
class Row:
    """One record of a file: its cells, their parsed values and the outcome."""

    line: int
    cells: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    outcome: str | None = None
    reason: str = ""

    def reject(self, reason: str) -> None:
        self.outcome, self.reason = "rejected", reason


def _escape_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Decode undecodable bytes to lone surrogates, and encode these back to the same bytes."""
    if isinstance(error, UnicodeDecodeError):
        undecodable = error.object[error.start : error.end]
        return "".join(chr(_BYTE + byte) for byte in undecodable), error.end
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    error.end = error.start + 1
    # In the last two, single bytes cannot occur between the wider code units.
    if not has_undecodable_bytes(character) or error.encoding.startswith(("utf-16", "utf-32")):
        return codecs.backslashreplace_errors(error)
    return bytes([ord(character) - _BYTE]), error.end


codecs.register_error(UNDECODABLE_BYTES, _escape_bytes)


def has_undecodable_bytes(text: str) -> bool:
    """Return whether ``text`` contains bytes that could not be decoded."""
    return not text.isascii() and any(_BYTE <= ord(c) <= _LAST_BYTE for c in text)


def open_text(path: Path, encoding: str) -> TextIO:
    """Open ``path`` for reading; a byte order mark is skipped."""
    try:
        is_utf_8 = codecs.lookup(encoding).name == "utf-8"
        "".encode(encoding)
    except (LookupError, ValueError):
        raise LoadError(f"--encoding {encoding}: no such encoding.") from None
    try:
        return path.open(
            encoding="utf-8-sig" if is_utf_8 else encoding, errors=UNDECODABLE_BYTES, newline=""
        )
    except OSError as error:
        raise LoadError(f"Cannot read {path}: {error.strerror}.") from None


class RecordLines(Iterator[str]):
    """Iterates over the lines of a file; after a malformed record, over its lines again."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._unread: deque[str] = deque()
        self._record: list[str] = []
        self._size = 0
        self._next_line = 1

    def __next__(self) -> str:
        line = self._unread.popleft() if self._unread else self._read()
        if not line:
            raise StopIteration
        self._record.append(line)
        self._size += len(line)
        if self._size > MAX_RECORD_CHARACTERS:
            raise csv.Error(f"longer than {MAX_RECORD_CHARACTERS} characters")
        return line

    def _read(self) -> str:
        line = rest = self._file.readline(MAX_RECORD_CHARACTERS + 1)
        while len(rest) > MAX_RECORD_CHARACTERS and not rest.endswith(("\n", "\r")):
            rest = self._file.readline(MAX_RECORD_CHARACTERS + 1)
        return line

    def start_record(self) -> int:
        """Start a record, and return the number of its first line."""
        self._next_line += len(self._record)
        self._record, self._size = [], 0
        return self._next_line

    def unread_all_but_first(self) -> str:
        """Return the first line of a malformed record; the others are read again."""
        first, *others = self._record
        self._unread.extendleft(reversed(others))
        self._record = [first]
        return first


def read_rows(file: TextIO, delimiter: str) -> Iterator[Row]:
    """Yield the records of ``file``; those that are not valid CSV are rejected.

    An unclosed quote would include all following lines: these are read again as records.
    """
    lines = RecordLines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.start_record()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first_line = lines.unread_all_but_first()[:MAX_SHOWN_CHARACTERS].rstrip("\r\n")
            # Without strict, it is split as far as possible, so that the user can correct it.
            row = Row(line, next(csv.reader([first_line], delimiter=delimiter), []))
            row.reject(f"not CSV: {error}")
            yield row
            continue
        if cells:
            yield Row(line, cells)


class RejectsFile:
    """A CSV file of rejected rows with line and reason; it appears at the end of the load.

    It has the encoding and the delimiter of the input, so a corrected copy loads the same way.
    """

    def __init__(self, path: Path, encoding: str, delimiter: str, columns: Sequence[str]) -> None:
        if not os.access(path.parent, os.W_OK) or path.is_dir():
            raise LoadError(f"Cannot write {path}; name another file with --rejects.")
        self.path = path
        # The process id separates simultaneous loads of the same file.
        self._draft = path.with_name(f".{path.name}.{os.getpid()}")
        self._encoding = encoding
        self._delimiter = delimiter
        self._columns = columns
        self._file: TextIO | None = None

    def write(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._write_cells([str(row.line), row.reason, *row.cells])

    def _write_cells(self, cells: Sequence[str]) -> None:
        if self._file is None:
            self._file = self._draft.open(
                "w", encoding=self._encoding, errors=UNDECODABLE_BYTES, newline=""
            )
            self._write_cells(["line", "reason", *self._columns])
        csv.writer(self._file, delimiter=self._delimiter, lineterminator="\n").writerow(cells)

    def close(self) -> None:
        """Replace the file of an earlier load, or delete it if no row was rejected."""
        if self._file is None:
            self.path.unlink(missing_ok=True)
            return
        self._file.close()
        self._draft.replace(self.path)
