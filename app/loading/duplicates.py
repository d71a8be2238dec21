"""The keys that a load has met, on disk: a file of any size needs no more memory for them."""

import hashlib
import sqlite3
from collections.abc import Iterable
from types import TracebackType

from app.loading.csv_files import Row


class SeenKeys:
    """Remembers on which line each key stood, and with which values."""

    def __init__(self, key: str) -> None:
        self._key = key
        # A database without a name is a temporary file that goes with its connection.
        self._kept = sqlite3.connect("", isolation_level=None)
        self._kept.execute("PRAGMA journal_mode = OFF")
        self._kept.execute(
            "CREATE TABLE seen (key PRIMARY KEY, line INT, digest BLOB) WITHOUT ROWID"
        )

    def __enter__(self) -> "SeenKeys":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._kept.close()

    def judge(self, row: Row) -> None:
        """Settle what became of a row whose key the file had before."""
        key = row.values[self._key]
        found = self._kept.execute("SELECT line, digest FROM seen WHERE key = ?", (key,)).fetchone()
        if found is None:
            return
        line, digest = found
        if digest == _digest(row):
            row.outcome = "unchanged"
        else:
            row.reject(f"{self._key} {key} stands in line {line} with other values")

    def note(self, rows: Iterable[Row]) -> None:
        """Remember rows that went in, or were in before."""
        noted = [(row.values[self._key], row.line, _digest(row)) for row in rows]
        self._kept.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", noted)


def _digest(row: Row) -> bytes:
    values = repr(sorted(row.values.items())).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(values, digest_size=16).digest()
