"""Every change of a row, as triggers of the database record it in the transaction of the write.

So the checker knows which states there were, in which order and from when on, without trusting the
service. The rows of one object are locked by each of its writes, so the order in which the triggers
run is the order of the commits.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Boolean, Engine, Table, func, select, text

from app.cache.outbox import Outbox
from app.db.types import Money, UtcDateTime
from app.extensions import Base
from bookreview.models import RATINGS

TABLES = ("book", "review", "product", "stock_adjustment", "hold")
HIDDEN_COLUMNS = frozenset({"folded", "source_id"})
OUTBOX = Outbox.__tablename__
"""On SQLite, which numbers no transactions, its row ends those of one."""
RECORD = "recorded_change"
COLUMNS = '"at", "transaction", "table", "row", "data"'
CREATE = """
    CREATE TABLE recorded_change (
        id {key}, "at" double precision, "transaction" bigint,
        "table" text, "row" bigint, "data" {json}
    )"""
SQLITE_NOW = "(julianday('now') - 2440587.5) * 86400.0"
POSTGRES_FUNCTION = f"""
    CREATE OR REPLACE FUNCTION record_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO {RECORD} ({COLUMNS}) VALUES (
            extract(epoch FROM clock_timestamp()), txid_current(), TG_TABLE_NAME,
            CASE TG_OP WHEN 'DELETE' THEN OLD.id ELSE NEW.id END,
            CASE TG_OP WHEN 'DELETE' THEN NULL ELSE to_jsonb(NEW) END
        );
        RETURN NULL;
    END $$"""
Values = Mapping[str, Any]
"""The columns of a row as responses show them; empty if there is no such row."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row after a change, which became visible later than ``at``, by ``time.monotonic``."""

    at: float
    transaction: int
    table: str
    row: int
    values: Values


class History:
    """The changes since ``begin``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        tables = Base.metadata.tables
        self._tables = {name: tables[name] for name in TABLES if name in tables}
        self._newest: dict[str, int] = {}

    def begin(self) -> None:
        """Install the triggers, and remember which rows there are."""
        is_sqlite = self._engine.dialect.name == "sqlite"
        key = "integer PRIMARY KEY AUTOINCREMENT" if is_sqlite else "bigserial PRIMARY KEY"
        with self._engine.begin() as connection:
            connection.execute(text(f"DROP TABLE IF EXISTS {RECORD}"))
            create = CREATE.format(key=key, json="text" if is_sqlite else "jsonb")
            connection.execute(text(create))
            if not is_sqlite:
                connection.execute(text(POSTGRES_FUNCTION))
            for table in self._tables.values():
                for statement in _sqlite(table) if is_sqlite else _postgres(table):
                    connection.execute(text(statement))
                newest = connection.scalar(select(func.max(table.c.id)))
                self._newest[table.name] = newest or 0
            if is_sqlite:
                for statement in _sqlite(Outbox.__table__, ("INSERT",)):  # type: ignore[arg-type]
                    connection.execute(text(statement))

    def is_older(self, table: str, row: int) -> bool:
        """Return whether a row was there before: its changes are not all known."""
        return row <= self._newest[table]

    def read(self) -> list[Change]:
        """Return all changes that are committed, in their order."""
        statement = text(f"SELECT id, {COLUMNS} FROM {RECORD} ORDER BY id")
        offset = clock_offset()
        with self._engine.connect() as connection:
            rows = connection.execute(statement).all()
        changes, transaction = [], 0
        for row in rows:
            if row.table == OUTBOX:
                transaction += 1
                continue
            data = orjson.loads(row.data) if isinstance(row.data, str) else row.data
            values = _as_shown(self._tables[row.table], data) if data else {}
            number = transaction if row.transaction is None else row.transaction
            changes.append(Change(row.at - offset, number, row.table, row.row, values))
        return changes


def _postgres(table: Table) -> Sequence[str]:
    name = f"record_{table.name}"
    return (
        f"DROP TRIGGER IF EXISTS {name} ON {table.name}",
        f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {table.name} "
        "FOR EACH ROW EXECUTE FUNCTION record_change()",
    )


def _sqlite(
    table: Table, operations: Sequence[str] = ("INSERT", "UPDATE", "DELETE")
) -> Sequence[str]:
    columns = [column.name for column in table.columns if column.name not in HIDDEN_COLUMNS]
    pairs = ", ".join(f"'{name}', NEW.{name}" for name in columns)
    statements = []
    for operation in operations:
        name = f"record_{table.name}_{operation.lower()}"
        row, data = ("OLD", "NULL") if operation == "DELETE" else ("NEW", f"json_object({pairs})")
        statements += [
            f"DROP TRIGGER IF EXISTS {name}",
            f"CREATE TRIGGER {name} AFTER {operation} ON {table.name} BEGIN "
            f"INSERT INTO {RECORD} ({COLUMNS}) "
            f"VALUES ({SQLITE_NOW}, NULL, '{table.name}', {row}.id, {data}); END",
        ]
    return statements


def _as_shown(table: Table, data: Mapping[str, Any]) -> Values:
    values = {
        column.key: _shown(column.type, data[column.name])
        for column in table.columns
        if column.name in data and column.name not in HIDDEN_COLUMNS
    }
    if table.name == "book":
        values["stars"] = {str(rating): values.pop(f"stars_{rating}") for rating in RATINGS}
    return values


def _shown(kind: Any, value: Any) -> Any:
    """Return what a response shows for a value of a column."""
    if value is None:
        return None
    if isinstance(kind, Boolean):
        return bool(value)
    if isinstance(kind, Money):
        return Money.as_text(value)
    if isinstance(kind, UtcDateTime):
        moment = datetime.fromisoformat(value)
        return show_time(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return value


def show_time(moment: datetime) -> str:
    """Return a time as responses show it."""
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z).decode().strip('"')


def monotonic_time(shown: str) -> float:
    """Return the time by ``time.monotonic`` of a time that a response shows."""
    return datetime.fromisoformat(shown).timestamp() - clock_offset()


def clock_offset() -> float:
    """Return how far ``time.time`` is ahead of ``time.monotonic``.

    On a busy machine a thread may pause between the two, which makes the difference smaller.
    """
    return max(time.time() - time.monotonic() for _ in range(3))
