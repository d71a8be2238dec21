"""The staging area: many threads write days to temporary files, which are committed later."""

import hashlib
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import chain, islice
from pathlib import Path

from adsfetch.sources import Batch, Row
from adsfetch.storage import atomic
from adsfetch.storage.csv import RowEncoder, columns_of


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


class Staging:
    """Write days with the same columns; in a new dataset the first row defines them."""

    def __init__(self, folder: Path, columns: tuple[str, ...], *, escape_formulas: bool) -> None:
        self._folder = folder
        self._new_encoder = partial(RowEncoder, escape_formulas=escape_formulas)
        self._encoder = self._new_encoder(columns) if columns else None
        self._lock = threading.Lock()

    def write(self, day: date, rows: Iterable[Row | Batch]) -> StagedDay:
        """Write the rows of a day as they arrive, with at most one batch in memory."""
        digest, count = hashlib.sha256(), 0
        target = self._folder / f"{day}.csv"
        with atomic.temporary_file(target) as temp:
            for number, lines in self._encode(day, rows):
                with atomic.disk_errors(target):
                    temp.write(lines)
                digest.update(lines)
                count += number
        columns = self._encoder.columns if self._encoder else ()
        return StagedDay(day, Path(temp.name), count, digest.hexdigest(), columns)

    def _encode(self, day: date, rows: Iterable[Row | Batch]) -> Iterator[tuple[int, bytes]]:
        remaining = iter(rows)
        first = list(islice(remaining, 1))
        with self._lock:
            if self._encoder is None and first:
                self._encoder = self._new_encoder(columns_of(first[0]))
            encoder = self._encoder
        if encoder:
            yield 0, encoder.header
            yield from encoder.encode_rows(day, chain(first, remaining))
