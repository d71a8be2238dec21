"""A CSV file of any size as records, each with its line; what is broken costs its own line only."""

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click

RECORD_MAX = 1_000_000
"""Characters in one record, with all of its lines: more is not held in memory."""
SHOWN_MAX = 10_000
"""Characters of a line that cannot be read, as the file of rejected rows shows it."""
BYTES_KEPT = "bookstall.bytes"
_BYTE, _LAST_BYTE = 0xDC00, 0xDCFF


class LoadError(click.ClickException):
    """A load that cannot begin, in one line; nothing has been written."""

    exit_code = 2


@dataclass(slots=True)
class Row:
    """One record of a file: its cells, what they mean, and what became of it."""

    line: int
    cells: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    outcome: str | None = None
    reason: str = ""

    def reject(self, reason: str) -> None:
        """Leave the row out, for ``reason``."""
        self.outcome, self.reason = "rejected", reason


def _keep_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Carry bytes that are no text through ours, as lone surrogates, and out again."""
    if isinstance(error, UnicodeDecodeError):
        bad = error.object[error.start : error.end]
        return "".join(chr(_BYTE + byte) for byte in bad), error.end
    if not isinstance(error, UnicodeEncodeError):
        raise error
    if error.encoding.startswith(("utf-16", "utf-32")):
        # A single byte cannot stand among wider characters: it is written out.
        return codecs.backslashreplace_errors(error)
    strange = error.object[error.start : error.end]
    return b"".join(map(_to_bytes, strange)), error.end


def _to_bytes(character: str) -> bytes:
    if holds_bytes(character):
        return bytes([ord(character) - _BYTE])
    return character.encode("ascii", "backslashreplace")


codecs.register_error(BYTES_KEPT, _keep_bytes)


def holds_bytes(text: str) -> bool:
    """Tell whether ``text`` holds bytes that its encoding could not read."""
    return not text.isascii() and any(_BYTE <= ord(c) <= _LAST_BYTE for c in text)


def open_text(path: Path, encoding: str) -> TextIO:
    """Open ``path``; a byte order mark is no part of the text."""
    with_mark = codecs.lookup(encoding).name == "utf-8"
    try:
        return path.open(
            encoding="utf-8-sig" if with_mark else encoding, errors=BYTES_KEPT, newline=""
        )
    except OSError as error:
        raise LoadError(f"Cannot read {path}: {error.strerror}.") from None


class Lines:
    """The lines of a file, of which those of the record at hand can be read again."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._again: deque[str] = deque()
        self._held: list[str] = []
        self._size = 0
        self._next_line = 1

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self._held.append(line)
        self._size += len(line)
        if self._size > RECORD_MAX:
            raise csv.Error(f"longer than {RECORD_MAX} characters")
        return line

    def _read(self) -> str:
        line = rest = self._file.readline(RECORD_MAX + 1)
        while len(rest) > RECORD_MAX and not rest.endswith(("\n", "\r")):
            rest = self._file.readline(RECORD_MAX + 1)
        return line

    def begin(self) -> int:
        """Begin a record, and return the number of its first line."""
        self._next_line += len(self._held)
        self._held, self._size = [], 0
        return self._next_line

    def give_back(self) -> str:
        """Return the first line of a broken record; the others are read again."""
        first, *others = self._held
        self._again.extendleft(reversed(others))
        self._held = [first]
        return first


def read_rows(file: TextIO, delimiter: str) -> Iterator[Row]:
    """Yield the records of ``file``, those that are no CSV as rejected.

    A quote that is never closed would swallow the lines after it: they are read again.
    """
    lines = Lines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            row = Row(line, _roughly(lines.give_back()[:SHOWN_MAX], delimiter))
            row.reject(f"not CSV: {error}")
            yield row
            continue
        if cells:
            yield Row(line, cells)


def _roughly(line: str, delimiter: str) -> list[str]:
    """Split a broken line as well as can be, so that it can be mended."""
    return next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), [])
