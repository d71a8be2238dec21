"""The change log of SQLite: which tags were invalidated since a response was made.

Every write leaves the tags that it invalidates in the outbox, in its own transaction, and SQLite
has one writer at a time. So the rows of the outbox, in the order of their ids, are the log of all
committed writes, whichever process made them. A process that reads the new rows before it uses a
response from its memory is never behind: there is nothing that a writer could fail to send.

The ids are never used again, so rows that were removed before they were read show as a gap. The
newest row that was read has to be there unchanged: in an older copy of the database, which somebody
has restored, other rows get the same ids.
"""

import json
import sqlite3
from collections.abc import Iterable
from threading import Lock
from typing import Any

from sqlalchemy import Engine

from app.cache.tags import ALL

MAX_ROWS = 10_000
"""More new rows are not read: all responses in memory are given up instead."""
MAX_TAGS = 100_000
SEQUENCE = "SELECT seq, NULL, NULL FROM sqlite_sequence WHERE name = 'outbox'"
ROWS = "SELECT * FROM (SELECT id, tags, created_at FROM outbox WHERE id >= ? ORDER BY id LIMIT ?)"


class ChangeLog:
    """The log as one process has read it; threads share it.

    Its positions are numbers of this process, which only grow.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._data_version: int | None = None
        self._last_row = 0
        self._newest: list[tuple[int, str, str]] = []
        """The row ``_last_row``, if it was there."""
        self._position = 0
        self._complete_since = 0
        """The log knows all tags that were invalidated after this position."""
        self._last_change: dict[str, int] = {}
        """The position at which each tag was invalidated last."""

    def catch_up(self) -> int:
        """Read the rows that were committed before this call; return the position after them.

        Raise sqlite3.Error if the database cannot be read at once.
        """
        with self._lock:
            try:
                return self._catch_up()
            except sqlite3.Error:
                self._close()
                raise

    def is_unchanged(self, tags: Iterable[str], since: int) -> bool:
        """Return whether none of ``tags`` was invalidated after the position ``since``."""
        changes = self._last_change
        return since >= max(self._complete_since, changes.get(ALL, 0)) and all(
            changes.get(tag, 0) <= since for tag in tags
        )

    def _catch_up(self) -> int:
        connection = self._connection or self._open()
        # SQLite changes this number when another connection commits; to ask costs microseconds.
        (data_version,) = connection.execute("PRAGMA data_version").fetchone()
        if data_version != self._data_version:
            self._read(connection)
            self._data_version = data_version
        return self._position

    def _read(self, connection: sqlite3.Connection) -> None:
        # One statement sees one state of the database.
        statement = f"{SEQUENCE} UNION ALL {ROWS}"
        limit = len(self._newest) + MAX_ROWS + 1
        found = connection.execute(statement, (self._last_row, limit)).fetchall()
        last = next((row[0] for row in found if row[1] is None), 0)
        rows = sorted(row for row in found if row[1] is not None)
        known, new = rows[: len(self._newest)], rows[len(self._newest) :]
        is_complete = known == self._newest and len(new) == last - self._last_row
        if is_complete and len(self._last_change) < MAX_TAGS:
            for _, tags, _ in new:
                self._position += 1
                self._last_change |= dict.fromkeys(json.loads(tags), self._position)
        else:  # rows are missing, or the database was replaced: all responses may be stale
            self._position += 1
            self._complete_since = self._position
            self._last_change = {}
        self._last_row, self._newest = last, rows[-1:]

    def _open(self) -> sqlite3.Connection:
        dialect = self._engine.dialect
        arguments, options = dialect.create_connect_args(self._engine.url)
        own = {"timeout": 0, "isolation_level": None, "check_same_thread": False}
        connection: Any = dialect.connect(*arguments, **{**options, **own})
        connection.execute("PRAGMA query_only = ON")
        self._connection, self._data_version = connection, None
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
