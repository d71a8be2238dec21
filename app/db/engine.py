"""How both databases are reached: time-outs, the pool, SQLite for several processes, reads."""

import sqlite3
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVarTuple

from flask import Flask, current_app
from sqlalchemy import (
    BigInteger,
    Connection,
    DateTime,
    Dialect,
    Engine,
    Row,
    TypeDecorator,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.sql import Select

from app.config import LINE_THREADS, THREADS, BadSetting
from app.db.timeouts import CONNECT_SECONDS, limit_waiting
from app.extensions import db

BUSY_SECONDS = 5
STATEMENT_MILLISECONDS = 5_000
LOCK_MILLISECONDS = 3_000
POOL_WAIT_SECONDS = 3
ASK_AFTER_IDLE_SECONDS = 1.0
"""A connection that was in use a moment ago is not asked again whether it is alive."""

Ts = TypeVarTuple("Ts")


class Money(TypeDecorator[Decimal]):
    """An amount with two decimals, kept as whole cents: exact on both databases."""

    impl = BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[Decimal]:
        """Say what values of this type are."""
        return Decimal

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> int | None:
        """Count the cents."""
        return None if value is None else int(value.scaleb(2).to_integral_exact())

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        """Make the amount of the cents."""
        return None if value is None else Decimal(value).scaleb(-2)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC, aware on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        """Say what values of this type are."""
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive moment: nobody could say when it is."""
        if value is None or value.tzinfo is None:
            if value is None:
                return None
            raise ValueError("a moment needs its time zone")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Call nothing for each value of PostgreSQL, whose driver gives aware moments."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's naive moments their zone back."""
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


def now() -> datetime:
    """Return this moment in UTC."""
    return datetime.now(UTC)


def engine_options(url: str) -> dict[str, Any]:
    """Choose pool and time-outs for the database at ``url``."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": BUSY_SECONDS}}
    session = (
        f"-c statement_timeout={STATEMENT_MILLISECONDS} -c lock_timeout={LOCK_MILLISECONDS} "
        f"-c idle_in_transaction_session_timeout={STATEMENT_MILLISECONDS} -c timezone=UTC"
    )
    return {
        "pool_size": THREADS + LINE_THREADS + 1,
        "max_overflow": 0,
        # The one used last is the one that need not be asked whether it is alive.
        "pool_use_lifo": True,
        "pool_timeout": POOL_WAIT_SECONDS,
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "options": session,
            "application_name": "bookstall",
            # A host that vanished without a word is noticed, not waited for.
            "tcp_user_timeout": STATEMENT_MILLISECONDS,
            "keepalives_idle": 30,
        },
    }


def init_app(app: Flask) -> None:
    """Prepare the engine: its listeners, and the folder of an SQLite file."""
    with app.app_context():
        engine = db.engine
    app.extensions["bookstall_unbegun"] = _unbegun_beside(engine)
    event.listen(engine, "checkin", _note_use)
    if engine.dialect.name == "sqlite":
        _make_folder(str(engine.url))
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        limit_waiting()
        event.listen(engine, "checkout", _make_ready)
        event.listen(engine, "begin", _begin_postgres)


def _unbegun_beside(engine: Engine) -> Engine:
    """Make an engine on the same connections that tells nobody of a beginning or a statement.

    ``execution_options`` would make one that passes all events on, which costs each read more
    than they do themselves.
    """
    # Nothing is begun, so nothing is rolled back. Of SQLite's driver SQLAlchemy could not tell:
    # it sees no transaction where we have begun one ourselves.
    skips = engine.dialect.name != "sqlite"
    return create_engine(engine.url, pool=engine.pool, skip_autocommit_rollback=skips)


def _commits_each(connection: Connection) -> bool:
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


def _make_folder(url: str) -> None:
    name = make_url(url).database
    if name and name != ":memory:":
        try:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadSetting(
                "DATABASE_URL", f"names a folder that cannot be made: {error}"
            ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # The driver would begin late and as a reader; we say ourselves when a write begins.
    connection.isolation_level = None
    # Readers and one writer at once, over processes; a power cut may cost the last commits,
    # never the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    if not _commits_each(connection):
        # Taken at once, the write lock is waited for; taken midway, it would be refused.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_postgres(connection: Connection) -> None:
    if not _commits_each(connection):
        # Only a flag of the driver: SQLAlchemy's own AUTOCOMMIT costs a round trip to take back.
        connection.connection.dbapi_connection.autocommit = False  # type: ignore[union-attr]


def _note_use(_: Any, entry: ConnectionPoolEntry) -> None:
    entry.info["used"] = time.monotonic()


def _make_ready(connection: Any, entry: ConnectionPoolEntry, _: Any) -> None:
    """Hand out a connection that is alive, and commits each statement until a ``begin``."""
    now_used = time.monotonic()
    idle = now_used - entry.info.get("used", now_used)
    try:
        if not connection.autocommit:  # to set it costs, also where it is set already
            connection.autocommit = True
        if idle >= ASK_AFTER_IDLE_SECONDS:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
    except Exception as error:  # it died while nobody used it: the pool takes another
        raise DisconnectionError from error


def unbegun() -> Engine:
    """Return the engine for single statements, each of which commits by itself."""
    engine: Engine = current_app.extensions["bookstall_unbegun"]
    return engine


def dialect() -> str:
    """Name the kind of database: ``sqlite`` or ``postgresql``."""
    return db.engine.dialect.name


def rows(statement: Select[*Ts], values: Mapping[str, Any] | None = None) -> Sequence[Row[*Ts]]:
    """Read all rows of ``statement``, outside of any transaction."""
    with unbegun().connect() as connection:
        return connection.execute(statement, values).all()
