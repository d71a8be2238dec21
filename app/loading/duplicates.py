"""Duplicate keys in a file, found with a table on disk: memory use does not grow with the file."""

import hashlib
import sqlite3
from collections.abc import Iterable

from app.loading.csv_files import Row


class SeenKeys:
    """Remembers the line and the values of each key."""

    def __init__(self, key: str) -> None:
        self._key = key
        # A database without a name is a temporary file; closing the connection deletes it.
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute(
            "CREATE TABLE seen (key PRIMARY KEY, line INT, digest BLOB) WITHOUT ROWID"
        )

    def close(self) -> None:
        self._connection.close()

    def check(self, row: Row) -> None:
        """Set the outcome of a row whose key occurred before in the file."""
        key = row.values[self._key]
        query = "SELECT line, digest FROM seen WHERE key = ?"
        seen = self._connection.execute(query, (key,)).fetchone()
        if seen is None:
            return
        line, digest = seen
        if digest == _digest(row):
            row.outcome = "unchanged"
        else:
            row.reject(f"{self._key} {key} is already in line {line}, with other values")

    def remember(self, rows: Iterable[Row]) -> None:
        """Remember rows that were written or unchanged."""
        seen = [(row.values[self._key], row.line, _digest(row)) for row in rows]
        self._connection.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", seen)


def _digest(row: Row) -> bytes:
    values = repr(sorted(row.values.items())).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(values, digest_size=16).digest()
