"""Which database errors mean that the database is unavailable."""

import logging
import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.errors import Unavailable

log = logging.getLogger(__name__)


def unavailable(error: Exception) -> Unavailable:
    """Log that the database is unavailable; return the error for the client."""
    log.warning("database unavailable: %s", str(error).splitlines()[0])
    return Unavailable("The database is unavailable. Please try again.")


def is_connection_error(error: BaseException) -> bool:
    """Return whether ``error`` is about reaching the database, not about the statement."""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, OperationalError):
        # psycopg2 raises this for lost connections, time-outs, full disks and locks; SQLite also
        # for invalid SQL.
        return getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
    return isinstance(error, DBAPIError) and error.connection_invalidated
