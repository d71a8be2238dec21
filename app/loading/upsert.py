"""Insert what is new, update what differs, leave the rest: rows of a load, found by their key."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

from sqlalchemy import Row as SqlRow
from sqlalchemy import Select, Table, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError

from app.db import engine as database
from app.extensions import Base, db
from app.loading.csv_files import Row

Stored = Mapping[str, Any]
Finish = Callable[[Stored, Stored | None], dict[str, Any]]
"""What else is written, given the row's values and what is stored, if anything is."""


class Change(NamedTuple):
    """What was written for a row; ``before`` is what was stored, if anything was."""

    row: Row
    before: Stored | None
    after: dict[str, Any]


def upsert(
    model: type[Base], rows: Sequence[Row], key: str, finish: Finish, needed: Sequence[str] = ()
) -> list[Change]:
    """Write ``rows``, whose keys differ, in the transaction at hand, and settle each outcome.

    A row that is new and has not all of the fields ``needed`` is rejected, and so is one that the
    database refuses, since another unique value is taken; the rest goes in. Rows that are stored
    just so cost one read outside of any transaction.
    """
    table = cast(Table, model.__table__)
    stored = {found[key]: found for found in map(_mapping, database.rows(_find(table, rows, key)))}
    differing = [row for row in rows if _differs(row, stored.get(row.values[key]))]
    for row in rows:
        row.outcome = "unchanged"
    _reject_incomplete(table, [row for row in rows if row.values[key] not in stored], needed)
    _reject_taken(table, differing, key)
    able = [row for row in differing if row.outcome != "rejected"]
    return _halved(table, able, key, finish) if able else []


def _mapping(found: SqlRow[Any]) -> Stored:
    return cast(Stored, found._mapping)


def _find(table: Table, rows: Sequence[Row], key: str) -> Select[Any]:
    keys = [row.values[key] for row in rows]
    return select(table).where(table.c[key].in_(keys)).order_by(table.c.id)


def _differs(row: Row, stored: Stored | None) -> bool:
    return stored is None or any(stored[name] != value for name, value in row.values.items())


def _reject_incomplete(table: Table, rows: Sequence[Row], needed: Sequence[str]) -> None:
    for row in rows:
        missing = [name for name in needed if name not in row.values]
        if missing:
            row.reject(f"{', '.join(missing)}: required for a new {table.name}")


def _reject_taken(table: Table, rows: Sequence[Row], key: str) -> None:
    """Reject rows that want another unique value which some other row has."""
    for column in table.columns:
        name = column.name
        wanting = [row for row in rows if name in row.values]
        if column.unique and name != key and wanting:
            wanted = [row.values[name] for row in wanting]
            found = database.rows(select(column, table.c[key]).where(column.in_(wanted)))
            holders = {holder[0]: holder[1] for holder in found}
            for row in wanting:
                value, own = row.values[name], row.values[key]
                if holders.setdefault(value, own) != own:
                    row.reject(f"{name} {value} is taken by another {table.name}")


def _halved(table: Table, rows: Sequence[Row], key: str, finish: Finish) -> list[Change]:
    """Write all rows at once, or, where one of them is refused, each half by itself."""
    try:
        with db.session.begin_nested():
            return _write(table, rows, key, finish)
    except (IntegrityError, DataError):
        if len(rows) == 1:
            return _once_more(table, rows[0], key, finish)
    middle = len(rows) // 2
    return [
        *_halved(table, rows[:middle], key, finish),
        *_halved(table, rows[middle:], key, finish),
    ]


def _once_more(table: Table, row: Row, key: str, finish: Finish) -> list[Change]:
    """Write a row that another writer may have added just before us; or reject it."""
    try:
        with db.session.begin_nested():
            return _write(table, [row], key, finish)
    except (IntegrityError, DataError):
        _reject_taken(table, [row], key)
        if row.outcome != "rejected":
            row.reject("refused by the database")
        return []


def _write(table: Table, rows: Sequence[Row], key: str, finish: Finish) -> list[Change]:
    # In the order of ids, locks cannot cross with those of another load.
    locking = _find(table, rows, key).with_for_update(key_share=True)
    stored = {found[key]: found for found in map(_mapping, db.session.execute(locking))}
    changes = [_change(row, stored.get(row.values[key]), finish) for row in rows]
    _insert(table, sorted((c.after for c in changes if c.before is None), key=lambda v: v[key]))
    for change in changes:
        change.row.outcome = "loaded" if change.before is None else "unchanged"
        if change.before is not None and change.after:
            change.row.outcome = "updated"
            only = update(table).where(table.c.id == change.before["id"])
            db.session.execute(only.values(change.after))
    return [change for change in changes if change.after]


def _change(row: Row, stored: Stored | None, finish: Finish) -> Change:
    if stored is None:
        return Change(row, None, row.values | finish(row.values, None))
    after = {name: value for name, value in row.values.items() if stored[name] != value}
    return Change(row, stored, after | finish(row.values, stored) if after else {})


def _insert(table: Table, values: Sequence[Mapping[str, Any]]) -> None:
    if values:
        empty = {
            column.name: None
            for column in table.columns
            if column.nullable and column.computed is None
        }
        db.session.execute(insert(table), [{**empty, **given} for given in values])
