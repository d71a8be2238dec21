"""Reads by statements that live as long as the process: each is compiled once.

SQLAlchemy looks a statement up in its cache of compiled statements at every execution, and makes
objects for the execution and for its result. Together they cost as much as the driver itself.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql import CompoundSelect, Select

from app.db.replica import read
from app.db.types import Money

PRIVATE_NAMES = ("sqlalchemy:Connection._handle_dbapi_exception",)
"""What this module uses of SQLAlchemy beyond its documentation."""

Statement = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Row = Any
"""A named tuple with the columns of its statement; amounts of money are texts, as in JSON."""
Process = Callable[[Any], Any]


class _Columns(NamedTuple):
    """How to make rows of what the driver returns."""

    make_row: Callable[[Any], Row]
    processors: Sequence[tuple[int, Process]]
    """The positions of the values to convert, and how."""


class CompiledRead:
    """A statement as SQL, with the conversions of its parameters and of its rows."""

    def __init__(self, statement: Statement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect)
        self._dialect = dialect
        self._types = [column.type for column in statement.selected_columns]
        self._sql = str(compiled)
        self._constants = compiled.params
        self._names = compiled.positiontup if compiled.positional else None
        processors = {
            name: bind.type.dialect_impl(dialect).bind_processor(dialect)
            for bind, name in compiled.bind_names.items()
        }
        self._processors = {name: each for name, each in processors.items() if each is not None}
        self._columns: _Columns | None = None

    def fetch_all(self, connection: Connection, values: Mapping[str, Any]) -> list[Row]:
        """Execute the statement and return all rows; raise the errors of SQLAlchemy."""
        sql, parameters = self._sql, self._bind(values)
        # Whoever listens to the statements of the engine hears of these too.
        listeners = connection.engine.dispatch
        try:
            cursor = connection.connection.cursor()
            for listen in listeners.before_cursor_execute:
                listen(connection, cursor, sql, parameters, None, False)
            self._dialect.do_execute(cursor, sql, parameters)
            rows = cursor.fetchall()
        except self._dialect.loaded_dbapi.Error as error:
            # This raises; if the server was lost, the pool replaces all of its connections.
            fail = connection._handle_dbapi_exception  # noqa: SLF001  # see PRIVATE_NAMES
            fail(error, sql, parameters, None, None)
        for listen in listeners.after_cursor_execute:
            listen(connection, cursor, sql, parameters, None, False)
        make_row, processors = self._columns or self._describe(cursor.description)
        if not processors:
            return list(map(make_row, rows))
        converted = list(map(list, rows))
        for position, process in processors:
            for row in converted:
                row[position] = process(row[position])
        return list(map(make_row, converted))

    def _bind(self, values: Mapping[str, Any]) -> Any:
        bound = {**self._constants, **values}
        for name, process in self._processors.items():
            bound[name] = process(bound[name])
        return bound if self._names is None else tuple(bound[name] for name in self._names)

    def _describe(self, description: Sequence[Any]) -> _Columns:
        row_type = namedtuple("Row", [column[0] for column in description])  # type: ignore[misc]
        processors = [
            kind.as_text
            if isinstance(kind, Money)
            else kind.dialect_impl(self._dialect).result_processor(self._dialect, column[1])
            for kind, column in zip(self._types, description, strict=True)
        ]
        found = [(index, each) for index, each in enumerate(processors) if each is not None]
        self._columns = _Columns(row_type._make, found)
        return self._columns


_compile = lru_cache(maxsize=1_024)(CompiledRead)


def fetch_compiled(statement: Statement, values: Mapping[str, Any] | None = None) -> list[Row]:
    """Return all rows of ``statement``, read outside of any transaction.

    Pass the same statement object each time, not an equal one: it is compiled for itself.
    """

    def execute(connection: Connection) -> list[Row]:
        return _compile(statement, connection.dialect).fetch_all(connection, values or {})

    return read(execute)
