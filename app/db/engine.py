"""The engine: pool, timeouts, SQLite for several processes, and reads without a transaction."""

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVarTuple

from flask import Flask, current_app
from sqlalchemy import Connection, Engine, Row, create_engine, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql import CompoundSelect, Select

from app.config import LIVE_THREADS, THREADS
from app.db.hosts import refuse_read_only_hosts
from app.db.timeouts import CONNECT_TIMEOUT, install_wait_timeout
from app.extensions import db

SQLITE_BUSY_TIMEOUT = 5
STATEMENT_TIMEOUT_MS = 5_000
LOCK_TIMEOUT_MS = 3_000
IDLE_TIMEOUT_MS = 5_000
POOL_TIMEOUT = 3
PRE_PING_AFTER_SECONDS = 1.0
"""A connection that was used more recently is not checked before it is used again."""

Ts = TypeVarTuple("Ts")


def engine_options(url: str, statement_timeout_ms: int = STATEMENT_TIMEOUT_MS) -> dict[str, Any]:
    """Return the options of the pool and the timeouts for the database at ``url``."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": SQLITE_BUSY_TIMEOUT}}
    session = (
        f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={LOCK_TIMEOUT_MS} "
        f"-c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS} -c timezone=UTC"
    )
    return {
        "pool_size": THREADS + LIVE_THREADS + 1,
        "max_overflow": 0,
        # The connection used last is the one that most likely needs no check.
        "pool_use_lifo": True,
        "pool_timeout": POOL_TIMEOUT,
        "connect_args": {
            "connect_timeout": CONNECT_TIMEOUT,
            "options": session,
            "application_name": "bookstall",
            # Without these, a host that disappears from the network would be waited for.
            "tcp_user_timeout": STATEMENT_TIMEOUT_MS,
            "keepalives_idle": 30,
        },
    }


def configure_engine(app: Flask) -> Engine:
    """Add the listeners of the engine of ``app``; return its autocommit engine."""
    with app.app_context():
        engine = db.engine
    event.listen(engine, "checkin", _record_use)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        install_wait_timeout()
        refuse_read_only_hosts(engine)
        event.listen(engine, "checkout", _check_out)
        event.listen(engine, "begin", _begin_postgres)
    return _make_autocommit_engine(engine)


def _make_autocommit_engine(engine: Engine) -> Engine:
    """Return an engine on the same pool, but without the ``begin`` listener of ``engine``.

    The pool's connections commit each statement by themselves until that listener begins a
    transaction. ``execution_options`` would return an engine that passes all events on, which
    costs each read more than the listeners themselves.
    """
    # Nothing begins, so nothing needs a rollback. Not for SQLite: its driver does not report a
    # transaction that we have begun ourselves, so SQLAlchemy cannot know whether there is one.
    skip_rollback = engine.dialect.name != "sqlite"
    return create_engine(engine.url, pool=engine.pool, skip_autocommit_rollback=skip_rollback)


def _is_autocommit(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # The driver would begin a transaction late and as a reader; _begin_sqlite does it instead.
    connection.isolation_level = None
    # Many readers and one writer at once, over all processes. A power failure may lose the last
    # commits, but cannot corrupt the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    if not _is_autocommit(connection):
        # At the beginning SQLite waits for the write lock; in the middle it would refuse it.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgres(connection: Connection) -> None:
    if not _is_autocommit(connection):
        # Only a flag of the driver: to leave SQLAlchemy's own AUTOCOMMIT costs a round trip.
        connection.connection.dbapi_connection.autocommit = False  # type: ignore[union-attr]


def _record_use(_: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _check_out(connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
    """Check that the connection works, and let it commit each statement until a ``begin``."""
    current = time.monotonic()
    idle = current - entry.info.get("used", current)
    try:
        if not connection.autocommit:  # setting it costs time even if it does not change
            connection.autocommit = True
        if idle >= PRE_PING_AFTER_SECONDS:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
    except Exception as error:  # it was lost while idle: the pool opens another one
        raise DisconnectionError from error


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Begin a transaction on an autocommit engine, for threads without a session."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            _begin_postgres(connection)
        with connection.begin():
            if engine.dialect.name == "sqlite":
                _begin_sqlite(connection)
            yield connection


def autocommit_engine() -> Engine:
    """Return the engine for single statements, each of which commits by itself."""
    # Not current_services(): app/services.py imports modules that import this one.
    engine: Engine = current_app.extensions["bookstall"].autocommit_engine
    return engine


def dialect_name() -> str:
    """Return the kind of database: ``sqlite`` or ``postgresql``."""
    return autocommit_engine().dialect.name


def fetch_all(
    statement: Select[*Ts] | CompoundSelect[*Ts], values: Mapping[str, Any] | None = None
) -> Sequence[Row[*Ts]]:
    """Return all rows of ``statement``, read outside of any transaction."""
    with autocommit_engine().connect() as connection:
        return connection.execute(statement, values).all()
