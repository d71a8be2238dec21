"""The rows that a load left out, with line and reason, in the form of the file they came from."""

import csv
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from app.loading.csv_files import BYTES_KEPT, LoadError, Row


class Rejects:
    """A CSV file that appears whole at the end of a load, if a row was rejected.

    It has the encoding and the delimiter of the load: mended, it can be loaded in the same way.
    """

    def __init__(self, path: Path, encoding: str, delimiter: str, columns: Sequence[str]) -> None:
        if not os.access(path.parent, os.W_OK) or path.is_dir():
            raise LoadError(f"Cannot write {path}; name another file with --rejects.")
        self.path = path
        # Two loads of one file do not write into each other's.
        self._draft = path.with_name(f".{path.name}.{os.getpid()}")
        self._encoding = encoding
        self._delimiter = delimiter
        self._columns = columns
        self._file: TextIO | None = None

    def write(self, rows: Iterable[Row]) -> None:
        """Add rows."""
        for row in rows:
            self._put([str(row.line), row.reason, *row.cells])

    def _put(self, cells: Sequence[str]) -> None:
        if self._file is None:
            self._file = self._draft.open(
                "w", encoding=self._encoding, errors=BYTES_KEPT, newline=""
            )
            self._put(["line", "reason", *self._columns])
        csv.writer(self._file, delimiter=self._delimiter, lineterminator="\n").writerow(cells)

    def close(self) -> None:
        """Replace the file of an earlier load; without rejected rows there is none."""
        if self._file is None:
            with suppress(FileNotFoundError):
                self.path.unlink()
            return
        self._file.close()
        self._draft.replace(self.path)
