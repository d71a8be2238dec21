"""The staging area: many threads write days to temporary files, which are committed later."""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import chain, islice
from pathlib import Path

from adsfetch.errors import AdsError, DayError, StoreError, TransientError
from adsfetch.sources import Batch, Row
from adsfetch.storage import atomic
from adsfetch.storage.csv import RowEncoder, columns_of
from adsfetch.storage.row_dates import RowDates
from adsfetch.storage.verify import is_own_file


@dataclass(frozen=True, slots=True)
class StagedDay:
    """A day whose temporary file is complete, and which is not committed yet.

    ``rows`` is their number. There are no ``columns`` as long as no day had a row.
    """

    day: date
    path: Path
    rows: int
    sha256: str
    columns: tuple[str, ...]
    types: Mapping[str, str] = field(default_factory=dict)


class Staging:
    """Write days with the same columns; in a new dataset the first complete day defines them."""

    def __init__(self, folder: Path, columns: tuple[str, ...], *, escape_formulas: bool) -> None:
        self.folder, self.escape_formulas = folder, escape_formulas
        self._new_encoder = partial(RowEncoder, escape_formulas=escape_formulas)
        self._encoder = self._new_encoder(columns) if columns else None
        self._lock = threading.Lock()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns; none as long as no complete day has defined them."""
        return self._encoder.columns if self._encoder else ()

    def target(self, day: date) -> Path:
        return self.folder / f"{day}.csv"

    def write(self, day: date, rows: Iterable[Row | Batch]) -> StagedDay:
        """Write the rows of a day as they arrive, with at most one batch in memory."""
        target = self.target(day)
        if os.path.lexists(target) and not is_own_file(target):
            what = "a link to something else" if target.is_symlink() else "not a file"
            raise DayError(f"{target} is {what}: move it away")
        digest, count, dates = hashlib.sha256(), 0, RowDates(day)
        with atomic.temporary_file(target) as temp:
            remaining = iter(rows)
            first = list(islice(remaining, 1))
            encoder = self._encoder
            if first and not encoder:
                encoder = self._new_encoder(columns_of(first[0]))
            for number, lines in encode(encoder, day, chain(first, remaining), dates):
                with atomic.disk_errors(target):
                    temp.write(lines)
                digest.update(lines)
                count += number
            if dates.problem:
                raise DayError(dates.problem)
            self._define_columns(encoder)
        columns = encoder.columns if encoder else ()
        types = first[0].types if first and isinstance(first[0], Batch) else {}
        return StagedDay(day, Path(temp.name), count, digest.hexdigest(), columns, types)

    def add(self, staged: StagedDay) -> StagedDay:
        """Take a day that another process has written into this folder, if it fits the others."""
        if not staged.path.exists():
            raise StoreError(
                f"a worker has written {staged.path}, which is not here: all hosts must share DIR"
            )
        try:
            self._define_columns(self._new_encoder(staged.columns) if staged.columns else None)
        except AdsError:
            staged.path.unlink(missing_ok=True)
            raise
        return staged

    def _define_columns(self, encoder: RowEncoder | None) -> None:
        """Let a complete day define the columns, or raise if another one just has."""
        with self._lock:
            self._encoder = self._encoder or encoder
            if encoder and self._encoder and encoder.columns != self._encoder.columns:
                self._encoder.check_fields(encoder.columns)
                raise TransientError("another day has just defined the order of the columns")


def encode(
    encoder: RowEncoder | None, day: date, rows: Iterable[Row | Batch], dates: RowDates
) -> Iterator[tuple[int, bytes]]:
    """Yield the header and the lines of a day; nothing while no column is known."""
    if encoder:
        yield 0, encoder.header
        yield from encoder.encode_rows(day, rows, dates.add_columns)
