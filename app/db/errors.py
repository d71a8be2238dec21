"""Which database errors mean that the database is unavailable, or not set up for this release."""

import logging
import sqlite3
import time
from math import inf

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import Unavailable

LOG_AGAIN_SECONDS = 10.0
MISSING = frozenset({"42P01", "42703", "3F000"})
"""No such table, column or schema: statements name only what migrations make."""
REFUSED = frozenset({"42501", "25006"})
"""A privilege is missing; the server is a read-only replica."""
SQLITE_MISSING = ("no such table", "no such column", "has no column named")
SQLITE_REFUSED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
log = logging.getLogger(__name__)
_logged_at: dict[str, float] = {}


def unavailable(error: Exception) -> Unavailable:
    """Log that the database is unavailable; return the error for the client."""
    message, now = describe(error), time.monotonic()
    # Until an operator acts, every request fails with one of a few messages.
    if not _is_for_operator(error):
        log.warning("%s", message)
    elif now >= _logged_at.get(message, -inf) + LOG_AGAIN_SECONDS:  # the clock may have just begun
        _logged_at[message] = now
        log.warning("%s", message)
    return Unavailable("The database is unavailable. Please try again.")


def describe(error: Exception) -> str:
    """Return one line for operators about a database that is unavailable."""
    cause = str(error).splitlines()[0]
    if _lacks_migration(error):
        return f"the database lacks what this release needs, run `make migrate`: {cause}"
    return f"database unavailable: {cause}"


def is_unavailable(error: BaseException) -> bool:
    """Return whether no request can succeed until the database, or its set-up, has changed."""
    return is_connection_error(error) or _is_for_operator(error)


def is_connection_error(error: BaseException) -> bool:
    """Return whether ``error`` is about reaching the database, not about the statement."""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, OperationalError):
        # psycopg2 raises this for lost connections, time-outs, full disks and locks; SQLite also
        # for invalid SQL.
        return _sqlite_code(error) != sqlite3.SQLITE_ERROR
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _is_for_operator(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    refused = _sqlstate(error) in REFUSED or _sqlite_code(error) in SQLITE_REFUSED
    return refused or _lacks_migration(error)


def _lacks_migration(error: BaseException) -> bool:
    if not isinstance(error, DBAPIError):
        return False
    if _sqlite_code(error) == sqlite3.SQLITE_ERROR:
        return any(words in str(error.orig) for words in SQLITE_MISSING)
    return _sqlstate(error) in MISSING


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "pgcode", None)


def _sqlite_code(error: DBAPIError) -> int | None:
    return getattr(error.orig, "sqlite_errorcode", None)
