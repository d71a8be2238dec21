"""Snapshots: one state of the database, read in batches of rows in a transaction of any length.

Each has a connection of its own beside the pool: a client that reads slowly delays no request.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVarTuple

from sqlalchemy import Connection, Engine, NullPool, Row, create_engine, event, text
from sqlalchemy.sql import Select

from app.config import EXPORTS
from app.db.timeouts import CONNECT_TIMEOUT
from app.errors import ApiError

BATCH_ROWS = 250
"""The rows that are in memory at a time: with the longest possible texts they take 10 MB."""
MAX_SECONDS = 3_600.0
"""The longest life of a snapshot: the database keeps whatever was deleted or changed since."""
SHUTDOWN_SECONDS = 20.0
"""How long snapshots may go on after SIGTERM: shorter than graceful_timeout."""
SQLITE_BUSY_TIMEOUT = 5
STATEMENT_TIMEOUT_MS = 5_000
IDLE_TIMEOUT_MS = 120_000
"""PostgreSQL itself ends the snapshot of a process that hangs; slow clients are cut before that."""

Ts = TypeVarTuple("Ts")


class TooManyExports(ApiError):
    """This process runs as many exports as it may; retry after `Retry-After` seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = 10

    def __init__(self) -> None:
        super().__init__("Too many exports are running. Please try again.")


class SnapshotEnded(Exception):
    """The snapshot has reached its longest life, or the process shuts down."""


class Snapshots:
    """The snapshots of a process, of which EXPORTS may be open at a time."""

    def __init__(self, url: str) -> None:
        self._engine = _make_engine(url)
        self._slots = threading.BoundedSemaphore(EXPORTS)
        self.end_at = float("inf")
        """The monotonic time at which all snapshots end."""

    def open(self, exported: str | None = None) -> "Snapshot":
        """Return a new snapshot, to be closed; raise TooManyExports or an error of SQLAlchemy.

        With the name of an ``exported`` one of PostgreSQL it sees the same state as that.
        """
        if not self._slots.acquire(blocking=False):
            raise TooManyExports
        try:
            connection = self._engine.connect()
            if exported is not None:
                connection.execute(text("SET TRANSACTION SNAPSHOT :name"), {"name": exported})
            return Snapshot(self, connection)
        except BaseException:
            self._slots.release()
            raise

    @contextmanager
    def exporting(self) -> Iterator[Connection]:
        """Begin a transaction on PostgreSQL that may write, and export its snapshot."""
        with self._engine.connect() as connection:
            connection.execution_options(postgresql_readonly=False)
            with connection.begin():
                yield connection

    def release(self) -> None:
        """Count a snapshot that was closed."""
        self._slots.release()

    def shut_down(self) -> None:
        """End all snapshots within SHUTDOWN_SECONDS."""
        self.end_at = min(self.end_at, time.monotonic() + SHUTDOWN_SECONDS)


class Snapshot:
    """A read transaction. Threads may take turns with it."""

    def __init__(self, snapshots: Snapshots, connection: Connection) -> None:
        self._snapshots, self._connection = snapshots, connection
        self._end_at = time.monotonic() + MAX_SECONDS
        self._is_open = True

    def row(self, statement: Select[*Ts]) -> Row[*Ts]:
        """Return the one row of ``statement``."""
        return self._connection.execute(statement).one()

    def batches(self, statement: Select[*tuple[Any, ...]]) -> Iterator[Sequence[Row[Any]]]:
        """Yield the rows of ``statement``; raise SnapshotEnded or an error of SQLAlchemy."""
        options = {"yield_per": BATCH_ROWS}
        for rows in self._connection.execute(statement, execution_options=options).partitions():
            yield rows
            now = time.monotonic()
            if now > self._end_at:
                raise SnapshotEnded(f"it took longer than {MAX_SECONDS:.0f} s")
            if now > self._snapshots.end_at:
                raise SnapshotEnded("the process is shutting down")

    def close(self) -> None:
        """End the transaction and close the connection."""
        if self._is_open:
            self._is_open = False
            try:
                self._connection.close()
            finally:
                self._snapshots.release()


def _make_engine(url: str) -> Engine:
    if url.startswith("sqlite"):
        options = {"timeout": SQLITE_BUSY_TIMEOUT, "check_same_thread": False}
        engine = create_engine(url, poolclass=NullPool, connect_args=options)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    session = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC -c jit=off "
        f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS} "
        # A sort would take long before the first row, and a temporary file.
        "-c enable_sort=off"
    )
    return create_engine(
        url,
        poolclass=NullPool,
        isolation_level="REPEATABLE READ",
        execution_options={"postgresql_readonly": True},
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT,
            "options": session,
            "application_name": "bookstall export",
            "tcp_user_timeout": STATEMENT_TIMEOUT_MS,
        },
    )


def _begin_sqlite(connection: Connection) -> None:
    # A read transaction, which its first statement opens: the driver would begin none.
    connection.exec_driver_sql("BEGIN")
