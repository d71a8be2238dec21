"""CSV files: the records of a file of any size.

A malformed record never affects the records after it.
"""

import codecs
import csv
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TextIO

from app.loading.files import Input

MAX_RECORD_CHARACTERS = 1_000_000
"""Of one record with all of its lines; a longer record is rejected, to bound the memory."""
MAX_SHOWN_CHARACTERS = 10_000
"""Of a malformed line, in the file of rejected rows."""
DEFAULT_DELIMITER = ","
UNDECODABLE_BYTES = "bookstall.bytes"
"""The name of our codec error handler."""
_BYTE, _LAST_BYTE = 0xDC00, 0xDCFF
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?[\r\n]*', re.IGNORECASE)
_BLANKS = r"\t \u00a0\u1680\u2000-\u200f\u202f\u205f\u2060\u3000\ufeff"
"""Spaces, and characters without width: marks of direction, and byte order marks within a file."""
_LINE_END = re.compile(r"\r\n|\r|\n")


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


def open_text(source: Input, encoding: str) -> TextIO:
    """Decode ``source``; no byte and no line end is lost or changed."""
    return io.TextIOWrapper(
        io.BufferedReader(source), encoding, errors=UNDECODABLE_BYTES, newline=""
    )


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

    def read_separator(self) -> str | None:
        """Return the delimiter that the first line states as ``sep=;``, as Excel writes it."""
        line = self._read()
        if match := _SEPARATOR_LINE.fullmatch(line):
            self._next_line += 1
            return match[1]
        self._unread.extend([line] if line else [])
        return None

    @property
    def text(self) -> str:
        """The present record as it is in the file."""
        return "".join(self._record)

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


class CsvReader(Iterator[Row]):
    """Iterates over the records of a file; those that are not valid CSV are rejected.

    An unclosed quote would include all following lines: these are read again as records.
    ``delimiter`` is the requested one, that of the first line (``sep=;``), or a comma.
    """

    def __init__(self, file: TextIO, requested_delimiter: str | None = None) -> None:
        self._encoding = file.encoding
        self._lines = RecordLines(file)
        separator = self._lines.read_separator()
        self.has_separator_line = separator is not None
        self.delimiter = requested_delimiter or separator or DEFAULT_DELIMITER
        self._invalid_bytes = ""
        # It finds the end of each record, and the cells of records without quotes.
        self._reader = csv.reader(
            self._lines, delimiter=self.delimiter, skipinitialspace=self.delimiter != " "
        )
        self._split = QuotedCells(self.delimiter).split

    @property
    def encoding_hint(self) -> str:
        """Where the first bytes that are invalid in the encoding are, and what to do; or ""."""
        return self._invalid_bytes and (
            f"Bytes that are invalid in {self._encoding}: the first is in {self._invalid_bytes}."
            " If the file has another encoding, name it, as in --encoding cp1252."
        )

    def __next__(self) -> Row:
        while True:
            line = self._lines.start_record()
            try:
                cells = next(self._reader)
                if '"' in (text := self._lines.text):
                    cells = self._split(text)
            except csv.Error as error:
                row = self._reject_first_line(line, error)
            else:
                row = Row(line, cells)
            if row.cells or row.outcome:
                self._check_bytes(row)
                return row

    def _reject_first_line(self, line: int, error: csv.Error) -> Row:
        first_line = self._lines.unread_all_but_first()[:MAX_SHOWN_CHARACTERS].rstrip("\r\n")
        # It is split as far as possible, so that the user can correct it.
        row = Row(line, next(csv.reader([first_line], delimiter=self.delimiter), []))
        row.reject(f"not CSV: {error}")
        return row

    def _check_bytes(self, row: Row) -> None:
        if not has_undecodable_bytes(text := self._lines.text):
            return
        if row.outcome is None:
            row.reject("bytes that are invalid in this encoding")
        if not self._invalid_bytes:
            at = next(at for at, c in enumerate(text) if has_undecodable_bytes(c))
            *lines, start = _LINE_END.split(text[:at])
            # Without the byte order mark that encoding would add.
            position = len(start.encode(self._encoding, UNDECODABLE_BYTES)) - len(
                "".encode(self._encoding)
            )
            byte = ord(text[at]) - _BYTE
            self._invalid_bytes = (
                f"line {row.line + len(lines)}, byte {position + 1} (0x{byte:02X})"
            )


class QuotedCells:
    """Splits a record with quotes; blanks outside of the quotes of a cell are no data.

    The module csv takes the quotes for data if a tab or a no-break space is before them.
    """

    def __init__(self, delimiter: str) -> None:
        self._delimiter = delimiter
        blanks = rf"(?:(?!{re.escape(delimiter)})[{_BLANKS}])*+"
        self._cell = re.compile(rf'{blanks}"((?:[^"]++|"")*+)("?){blanks}')

    def split(self, record: str) -> list[str]:
        """Return the cells; raise csv.Error if a quote is unclosed, or text is beside it."""
        record = record.removesuffix("\n").removesuffix("\r")
        cells: list[str] = []
        at = -1
        while at < len(record):
            start = at + 1
            if quoted := self._cell.match(record, start):
                if not quoted[2]:
                    raise csv.Error(f"the quote of column {len(cells) + 1} is never closed")
                cells.append(quoted[1].replace('""', '"'))
                at = quoted.end()
                if at < len(record) and record[at] != self._delimiter:
                    raise csv.Error(f"text after the closing quote of column {len(cells)}")
            else:
                end = record.find(self._delimiter, start)
                at = len(record) if end < 0 else end
                cells.append(record[start:at])
                if _LINE_END.search(cells[-1]):
                    raise csv.Error(f"a line end outside of the quotes of column {len(cells)}")
        return cells
