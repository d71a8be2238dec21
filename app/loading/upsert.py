"""Upsert: insert new rows of a load, update rows that differ and leave the others."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, cast

from sqlalchemy import Row as SqlRow
from sqlalchemy import Select, Table, bindparam, func, insert, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import REGCLASS
from sqlalchemy.exc import DataError, IntegrityError

from app.db.engine import dialect_name, fetch_all
from app.errors import Conflict
from app.extensions import Base, db
from app.loading.csv_files import Row

Stored = Mapping[str, Any]
Finish = Callable[[Stored, Stored | None], dict[str, Any]]
"""Returns further values to write, given the values of the row and the stored row, if any."""


class _Target(NamedTuple):
    """What rows are written to, and how."""

    table: Table
    key: str
    finish: Finish
    returning: Sequence[Any]


class Change(NamedTuple):
    """The values written for a row; ``before`` is the stored row, or None for a new one."""

    row: Row
    before: Stored | None
    after: dict[str, Any]
    stored: Any = None
    """The columns that ``upsert`` was to return, as they are stored now."""


def upsert(
    model: type[Base],
    rows: Sequence[Row],
    key: str,
    *,
    finish: Finish,
    returning: Sequence[Any],
    required: Sequence[str] = (),
) -> list[Change]:
    """Write ``rows``, which have distinct keys, in the current transaction; set their outcomes.

    Return a change for each row that is new or differs, with the columns ``returning``.
    A new row without all ``required`` fields is rejected, as is a row that violates another
    unique constraint, or for which ``finish`` raises Conflict; the other rows are written.
    Unchanged rows cost one read outside of any transaction.
    """
    table = cast(Table, model.__table__)
    stored = _by_key(fetch_all(_select(table, rows, key)), key)
    differing = [row for row in rows if _differences(row, stored.get(row.values[key]))]
    for row in rows:
        row.outcome = "unchanged"
        missing = [name for name in required if name not in row.values]
        if missing and row.values[key] not in stored:
            row.reject(f"{', '.join(missing)}: required for a new {table.name}")
    _reject_taken(table, differing, key)
    writable = [row for row in differing if row.outcome != "rejected"]
    return _bisect(_Target(table, key, finish, returning), writable) if writable else []


def _by_key(rows: Iterable[SqlRow[Any]], key: str) -> dict[Any, Stored]:
    stored = [cast(Stored, row._mapping) for row in rows]
    return {row[key]: row for row in stored}


def _select(table: Table, rows: Sequence[Row], key: str) -> Select[Any]:
    keys = [row.values[key] for row in rows]
    return select(table).where(table.c[key].in_(keys)).order_by(table.c.id)


def _differences(row: Row, stored: Stored | None) -> dict[str, Any]:
    """Return the values of the row that differ from the stored row; all, if there is none."""
    values = row.values.items()
    return {name: value for name, value in values if stored is None or stored[name] != value}


def _reject_taken(table: Table, rows: Sequence[Row], key: str) -> None:
    """Reject rows with a value of another unique column that belongs to another row."""
    for column in table.columns:
        name = column.name
        having = [row for row in rows if name in row.values]
        if column.unique and name != key and having:
            values = [row.values[name] for row in having]
            stored = fetch_all(select(column, table.c[key]).where(column.in_(values)))
            owners = {row[0]: row[1] for row in stored}
            for row in having:
                value, own_key = row.values[name], row.values[key]
                if owners.setdefault(value, own_key) != own_key:
                    row.reject(f"{name} {value} is taken by another {table.name}")


def _bisect(target: _Target, rows: Sequence[Row]) -> list[Change]:
    """Write all rows at once; if the database refuses one of them, write each half separately.

    A single row is tried again, as another writer may have inserted it, and then rejected.
    """
    attempts = 2 if len(rows) == 1 else 1
    for _ in range(attempts):
        with suppress(IntegrityError, DataError), db.session.begin_nested():
            return _write(target, rows)
    if len(rows) == 1:
        _reject_taken(target.table, rows, target.key)
        if rows[0].outcome != "rejected":
            rows[0].reject("refused by the database")
        return []
    middle = len(rows) // 2
    halves = rows[:middle], rows[middle:]
    return [change for half in halves for change in _bisect(target, half)]


def _write(target: _Target, rows: Sequence[Row]) -> list[Change]:
    table, key, finish, returning = target
    # Rows are locked in the order of ids, so that simultaneous loads cannot deadlock.
    locking = _select(table, rows, key).with_for_update(key_share=True)
    stored = _by_key(db.session.execute(locking), key)
    made = [_change(row, stored.get(row.values[key]), finish) for row in rows]
    changes = [change for change in made if change is not None]
    inserted = _insert(target, [change.after for change in changes if change.before is None])
    updating = update(table).where(table.c.id == bindparam("stored_id")).returning(*returning)
    written = []
    for change in changes:
        if change.before is None:
            change.row.outcome = "loaded"
            written.append(change._replace(stored=inserted[change.after[key]]))
        elif change.after:
            change.row.outcome = "updated"
            values = {**change.after, "stored_id": change.before["id"]}
            updated = db.session.execute(updating, values).one()
            written.append(change._replace(stored=updated))
        else:
            change.row.outcome = "unchanged"
    return written


def _insert(target: _Target, new: list[dict[str, Any]]) -> dict[Any, Any]:
    """Insert rows in the order of their keys; return what is to be returned of them, by key."""
    table, key, _, returning = target
    if not new:
        return {}
    _reserve_ids(table, max(values.get("id", 0) for values in new))
    nullable = [c.name for c in table.columns if c.nullable and c.computed is None]
    nulls = dict.fromkeys(nullable)
    rows = [{**nulls, **values} for values in sorted(new, key=lambda values: values[key])]
    statement = insert(table).returning(*returning, table.c[key].label("key"))
    return {row.key: row for row in db.session.execute(statement, rows)}


def _change(row: Row, stored: Stored | None, finish: Finish) -> Change | None:
    after = _differences(row, stored)
    try:
        return Change(row, stored, after | finish(row.values, stored) if after else {})
    except Conflict as error:
        row.reject(error.detail)
        return None


def _reserve_ids(table: Table, last: int) -> None:
    """Let PostgreSQL give new rows greater ids than ``last``, as SQLite does by itself."""
    if last and dialect_name() == "postgresql":
        sequence = sql_cast(func.pg_get_serial_sequence(table.name, "id"), REGCLASS)
        reached = func.coalesce(func.pg_sequence_last_value(sequence), 0)
        db.session.execute(select(func.setval(sequence, last)).where(reached < last))
