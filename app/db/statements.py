"""Parts of statements that SQLAlchemy does not offer for both databases alike."""

import re
from datetime import datetime
from typing import Any

from sqlalchemy import Float, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.db.types import UtcDateTime

LIKE_ESCAPE = "/"
"""Pass it as ``escape=`` to ``like`` together with ``escape_like``."""
TRIGRAM = re.compile(r"[^\W_]{3}")
"""The shortest text that a trigram index can find: three consecutive letters or digits."""
_INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


def dialect_insert(dialect: str, model: Any) -> Any:
    """Return an INSERT that has ``on_conflict_do_nothing`` and ``on_conflict_do_update``."""
    return _INSERT[dialect](model)


def escape_like(text: str) -> str:
    """Escape the wildcards in ``text``, so that LIKE matches every character literally."""
    return re.sub("[/%_]", r"/\g<0>", text)


def match_phrase(text: str) -> str:
    """Return ``text`` as one phrase for MATCH, of the full-text search of SQLite."""
    return '"' + text.replace('"', '""') + '"'


class _Clock(FunctionElement[datetime]):
    """The time by the clock of the database, at the moment at which it is evaluated."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(_Clock)
def _compile_clock(*_: Any, **__: Any) -> str:
    return "clock_timestamp()"


@compiles(_Clock, "sqlite")
def _compile_clock_for_sqlite(*_: Any, **__: Any) -> str:
    # With as many decimals as a stored time has, so that both are compared as texts.
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


CLOCK = select(_Clock().label("at")).cte("clock")
"""The time of one statement: a table of one row, as two calls would return different times."""
NOW = select(CLOCK.c.at).scalar_subquery()
"""The one time in CLOCK. The time at which a transaction began would be too early: after a wait
for a lock, or on PostgreSQL after other commits that the statement already sees."""


class seconds_until(FunctionElement[float]):  # noqa: N801 - a function of SQL
    """The seconds from NOW to a time, at most 2 ms less than there are and never more."""

    type = Float()
    inherit_cache = True


@compiles(seconds_until)
def _compile_seconds(element: seconds_until, compiler: SQLCompiler, **kw: Any) -> str:
    (time,) = element.clauses
    start, end = compiler.process(NOW, **kw), compiler.process(time, **kw)
    return f"CAST(extract(epoch FROM {end} - {start}) AS double precision)"


@compiles(seconds_until, "sqlite")
def _compile_seconds_for_sqlite(element: seconds_until, compiler: SQLCompiler, **kw: Any) -> str:
    # The clock is up to 1 ms late, and the days are rounded.
    (time,) = element.clauses
    start, end = compiler.process(NOW, **kw), compiler.process(time, **kw)
    return f"(julianday({end}) - julianday({start})) * 86400.0 - 0.002"
