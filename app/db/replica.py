"""Reads from a replica, where it shows all that is needed; else from the primary.

A view calls ``fetch_compiled`` as always. Within ``Replica.may_serve`` its thread reads on one
connection to the replica, which has first said that it has replayed a position of the WAL. What it
has replayed only grows, so this holds for all statements that follow on the connection.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from prometheus_client import Counter
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from app.config import LIVE_THREADS, THREADS
from app.db.engine import autocommit_engine, engine_options
from app.db.timeouts import waiting_until
from app.redis.circuit_breaker import CircuitBreaker

MAX_SECONDS = 1.0
"""How long one request waits for the replica altogether before it goes to the primary."""
STATEMENT_SECONDS = 0.7
"""How long a statement may take: less, so that a slow one does not look like a hanging replica."""
STATEMENT_FAILURES = frozenset({"57014", "40001"})
"""What PostgreSQL reports if only this statement failed: it was too slow, or in conflict with what
the replica replays."""
# By these, a URL is recognized that leads to another database, whose positions mean nothing here.
DATABASE = "SELECT current_database() || ' ' || system_identifier FROM pg_control_system()"
POSITION = "SELECT pg_current_wal_insert_lsn()::text"
STATE = "SELECT pg_is_in_recovery(), pg_last_wal_replay_lsn() >= %(position)s"
REPLICA, BEHIND, FAILED = "replica", "behind", "failed"
READS = Counter(
    "bookstall_replica_reads_total", "Cache misses by where they were read", ["outcome"]
)
for _outcome in (REPLICA, BEHIND, FAILED):  # so that the first one shows as an increase
    READS.labels(_outcome)
T = TypeVar("T")
log = logging.getLogger(__name__)


class PrimaryNeeded(Exception):
    """The replica cannot answer a read."""


class NoReplicaError(SQLAlchemyError):
    """The server is no replica of the primary: it was promoted, or is another one altogether."""


class Replica:
    """The replica as one process uses it."""

    def __init__(self, url: str) -> None:
        options = engine_options(url, statement_timeout_ms=int(STATEMENT_SECONDS * 1000))
        options |= {"pool_size": THREADS + LIVE_THREADS, "pool_timeout": MAX_SECONDS}
        self.engine = create_engine(
            url, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True, **options
        )
        self.breaker = CircuitBreaker()

    @contextmanager
    def may_serve(self, find_position: Callable[[], str | None]) -> Iterator[None]:
        """Let this thread read from the replica within the block.

        ``find_position`` is called at the first read. It returns a ``current_position`` that is
        behind all writes which the reads have to show, or None if none is known.
        """
        reads = _ReplicaReads(self, find_position)
        token = _reads.set(reads)
        try:
            yield
        finally:
            _reads.reset(token)
            reads.close()

    def record_failure(self, error: SQLAlchemyError) -> None:
        """Leave the replica alone for a moment."""
        if self.breaker.closed:
            log.warning("misses are read from the primary: %s", str(error).splitlines()[0])
        self.breaker.record_failure()


class _ReplicaReads:
    """The reads of one view."""

    def __init__(self, replica: Replica, find_position: Callable[[], str | None]) -> None:
        self._replica = replica
        self._find_position = find_position
        self._connection: Connection | None = None
        self._end_at = 0.0
        self._outcome: str | None = None

    def execute(self, read: Callable[[Connection], T]) -> T:
        """Return the result of ``read`` on the replica; raise PrimaryNeeded if it has none."""
        if self._outcome is None:
            self._outcome = FAILED
            self._begin()
        if self._connection is None:
            raise PrimaryNeeded
        try:
            with waiting_until(self._end_at):
                return read(self._connection)
        except SQLAlchemyError as error:  # lost, too slow, or in conflict with what it replays
            self._fail(error)
            raise PrimaryNeeded from error

    def close(self) -> None:
        """Return the connection, and count the view if it has read anything."""
        self._release()
        if self._outcome is not None:
            READS.labels(self._outcome).inc()

    def _begin(self) -> None:
        """Connect, if the replica is current."""
        if not self._replica.breaker.allow_request():
            return
        position = self._find_position()
        if position is None:
            return
        self._end_at = time.monotonic() + MAX_SECONDS
        try:
            with waiting_until(self._end_at):
                self._connection = self._replica.engine.connect()
                self._outcome = REPLICA if _has_replayed(self._connection, position) else BEHIND
        except SQLAlchemyError as error:
            self._fail(error)
            return
        self._replica.breaker.record_success()
        if self._outcome == BEHIND:
            self._release()

    def _fail(self, error: SQLAlchemyError) -> None:
        self._outcome = FAILED
        self._release()
        cause = getattr(error, "orig", None)
        if getattr(cause, "pgcode", None) not in STATEMENT_FAILURES:
            self._replica.record_failure(error)

    def _release(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


_reads: ContextVar[_ReplicaReads | None] = ContextVar("replica_reads", default=None)


def read(execute: Callable[[Connection], T]) -> T:
    """Return the result of a read, on the replica if this thread may use it."""
    reads = _reads.get()
    if reads is not None:
        try:
            return reads.execute(execute)
        except PrimaryNeeded:
            pass
    with autocommit_engine().connect() as connection:
        return execute(connection)


def current_position(primary: Engine) -> str:
    """Return a position behind all that has been committed; raise an error of SQLAlchemy.

    It is the database and a position in its WAL, as text.
    """
    with primary.connect() as connection:
        return f"{_database(connection)} {connection.exec_driver_sql(POSITION).scalar_one()}"


def _has_replayed(connection: Connection, position: str) -> bool:
    """Return whether the replica shows all until ``position``; raise an error of SQLAlchemy."""
    database, _, lsn = position.rpartition(" ")
    is_replica, has_replayed = connection.exec_driver_sql(STATE, {"position": lsn}).one()
    if not is_replica or _database(connection) != database:
        connection.invalidate()  # a new one may lead to another server
        raise NoReplicaError("DATABASE_READ_URL leads to no replica of DATABASE_URL")
    return bool(has_replayed)


def _database(connection: Connection) -> str:
    """Return the database and its cluster; PostgreSQL reads a file for that."""
    if DATABASE not in connection.info:
        connection.info[DATABASE] = connection.exec_driver_sql(DATABASE).scalar_one()
    return str(connection.info[DATABASE])
