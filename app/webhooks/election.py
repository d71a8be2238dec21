"""The lock that one process of all holds: it alone delivers.

A process that ends, however it does, loses the lock at once. A host that leaves the network loses
it when the server of the database gives its connection up, after SERVER_GIVES_UP_SECONDS, and has
noticed that before: it checks the lock every CHECK_SECONDS, for up to CHECK_TIMEOUT_SECONDS.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import engine_options

CHECK_SECONDS = 1.0
CHECK_TIMEOUT_SECONDS = 2.0
TAKEOVER_SECONDS = 2.0
"""How long a process waits after it has obtained the lock: longer than another one that lost it
unexpectedly goes on until its next check."""
KEEPALIVE_SECONDS = 2
SERVER_GIVES_UP_SECONDS = 3 * KEEPALIVE_SECONDS
ADVISORY_LOCK = 0x626F6F6B_686F6F6B
"""Locks of PostgreSQL have a number, which is valid within one database."""
KEEPALIVES = (
    f" -c tcp_keepalives_idle={KEEPALIVE_SECONDS} -c tcp_keepalives_interval={KEEPALIVE_SECONDS}"
    f" -c tcp_keepalives_count=2 -c tcp_user_timeout={1_000 * SERVER_GIVES_UP_SECONDS}"
)


class Lock(Protocol):
    """A lock that at most one process holds. Its methods block; one thread at a time calls them."""

    def acquire(self) -> bool:
        """Try to obtain the lock; return whether this process holds it.

        Raise SQLAlchemyError or OSError if nobody can tell.
        """

    def is_held(self) -> bool:
        """Return whether this process still holds the lock."""

    def release(self) -> None:
        """Give the lock to others."""


def make_lock(database_url: str) -> Lock:
    """Return the lock of all processes that use the database at ``database_url``."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        return FileLock(Path(f"{url.database}-webhooks.lock"))
    return AdvisoryLock(database_url)


class AdvisoryLock:
    """An advisory lock of PostgreSQL, held by a connection that does nothing else."""

    def __init__(self, database_url: str) -> None:
        options = engine_options(database_url)["connect_args"]
        arguments = {**options, "options": options["options"] + KEEPALIVES}
        self._engine = create_engine(
            database_url,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args={**arguments, "application_name": "bookstall webhooks"},
        )
        self._connection: Connection | None = None

    def acquire(self) -> bool:
        self.release()
        self._connection = self._engine.connect()
        try:
            statement = text("SELECT pg_try_advisory_lock(:number)")
            held = bool(self._connection.execute(statement, {"number": ADVISORY_LOCK}).scalar())
        except SQLAlchemyError:
            self.release()
            raise
        if not held:
            self.release()
        return held

    def is_held(self) -> bool:
        if self._connection is None:
            return False
        try:
            # The lock lasts as long as the connection, which this statement tries.
            self._connection.execute(text("SELECT 1"))
        except SQLAlchemyError:
            self.release()
            return False
        return True

    def release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                connection.close()


class FileLock:
    """A lock on a file beside the SQLite database."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    def acquire(self) -> bool:
        self.release()
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return self.is_held()

    def is_held(self) -> bool:
        """Return whether the locked file is still the one that others would lock."""
        if self._file is None:
            return False
        try:
            mine, current = os.fstat(self._file), self._path.stat()
        except OSError:
            return False
        return (mine.st_dev, mine.st_ino) == (current.st_dev, current.st_ino)

    def release(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)
