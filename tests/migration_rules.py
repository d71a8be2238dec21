"""What a migration does that workers of the release before it, or their requests, do not tolerate.

It runs on PostgreSQL: the catalog before and after says what has become of the tables that were
there, and the statements say how long they were locked. New tables may have anything.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask_migrate import upgrade
from sqlalchemy import Engine, event, text

from app.extensions import db

COLUMNS = """
    SELECT relname, attname, format_type(atttypid, atttypmod) AS type, attnotnull AS required,
        attgenerated, pg_get_expr(adbin, adrelid) AS default
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
        AND attnum > 0 AND NOT attisdropped
"""
CONSTRAINTS = """
    SELECT relname, conname FROM pg_constraint JOIN pg_class ON pg_class.oid = conrelid
    WHERE contype IN ('c', 'f', 'x') AND relnamespace = 'public'::regnamespace
"""
UNIQUE_INDEXES = """
    SELECT owner.relname, index.relname FROM pg_index
        JOIN pg_class AS owner ON owner.oid = indrelid
        JOIN pg_class AS index ON index.oid = indexrelid
    WHERE indisunique AND owner.relnamespace = 'public'::regnamespace
"""
FILES = """
    SELECT relname, relfilenode FROM pg_class
    WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
NAME = r'(?:public\.)?"?(\w+)"?'
LOCKING = re.compile(
    rf"(?:ALTER TABLE|DROP TABLE|LOCK TABLE|TRUNCATE)(?: IF EXISTS)?(?: ONLY)? {NAME}"
    rf"|CREATE (?:OR REPLACE )?TRIGGER .* ON {NAME} "
    rf"|DROP TRIGGER .* ON {NAME}",
    re.IGNORECASE,
)
INDEXING = re.compile(rf"CREATE (?:UNIQUE )?INDEX (?!CONCURRENTLY).* ON {NAME}", re.IGNORECASE)
CHECKING = re.compile(
    rf"ALTER TABLE(?: ONLY)? {NAME} .*ADD (?:CONSTRAINT \S+ )?(?:CHECK|FOREIGN KEY)(?!.*NOT VALID)",
    re.IGNORECASE,
)
CHANGING = re.compile(rf"(?:UPDATE|DELETE FROM)(?: ONLY)? {NAME}(?!.*\bWHERE\b.*\bid\b)", re.I)


@dataclass(frozen=True)
class Schema:
    """The tables of a database."""

    columns: dict[tuple[str, str], Any]
    constraints: set[tuple[str, str]]
    unique_indexes: set[tuple[str, str]]
    files: dict[str, int]

    @classmethod
    def read(cls, engine: Engine) -> "Schema":
        with engine.connect() as connection:

            def rows(query: str) -> Sequence[Any]:
                return connection.execute(text(query)).all()

            return cls(
                {(row.relname, row.attname): row for row in rows(COLUMNS)},
                {tuple(row) for row in rows(CONSTRAINTS)},
                {tuple(row) for row in rows(UNIQUE_INDEXES)},
                dict(map(tuple, rows(FILES))),
            )


def findings(revision: str, **options: Any) -> list[str]:
    """Upgrade the database of the application to ``revision``; return what is not tolerated."""
    before = Schema.read(db.engine)
    with _recorded(db.engine) as statements:
        upgrade(revision=revision, **options)
    after = Schema.read(db.engine)
    found = [*_of_columns(before, after), *_of_rules(before, after), *_of_locks(before, statements)]
    files = before.files.items()
    found += [f"rewrites {table}" for table, file in files if after.files.get(table) != file]
    gone = [table for table in before.files if table not in after.files]
    found = [finding for finding in found if not _is_about(finding, gone)]
    return sorted({*found, *(f"drops {table}" for table in gone)})


@contextmanager
def _recorded(engine: Engine) -> Iterator[list[str]]:
    statements: list[str] = []

    def record(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(" ".join(statement.split()))

    event.listen(engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", record)


def _is_about(finding: str, tables: Sequence[str]) -> bool:
    return any(re.search(rf"\b{table}\b", finding) for table in tables)


def _of_columns(before: Schema, after: Schema) -> Iterator[str]:
    for (table, name), old in before.columns.items():
        new = after.columns.get((table, name))
        if new is None:
            yield f"drops {table}.{name}"
            continue
        if new.type != old.type:
            yield f"changes the type of {table}.{name}"
        if new.required and not old.required:
            yield f"requires {table}.{name}"
        if new.default != old.default:
            yield f"changes the default of {table}.{name}"
    for (table, name), new in after.columns.items():
        is_added = table in before.files and (table, name) not in before.columns
        if is_added and new.required and new.default is None and not new.attgenerated:
            yield f"requires {table}.{name}"


def _of_rules(before: Schema, after: Schema) -> Iterator[str]:
    for kind in ("constraints", "unique_indexes"):
        for table, name in getattr(after, kind) - getattr(before, kind):
            if table in before.files:
                yield f"adds {name} to {table}"


def _of_locks(before: Schema, statements: Sequence[str]) -> Iterator[str]:
    is_limited = True  # by migrations/env.py
    for statement in statements:
        if statement.startswith(("SET lock_timeout", "RESET lock_timeout")):
            is_limited = not re.search(r"= '?0", statement)
        for pattern, finding in (
            (INDEXING, "indexes {} without CONCURRENTLY"),
            (CHECKING, "checks all rows of {} while it is locked: NOT VALID, then VALIDATE"),
            (CHANGING, "changes all rows of {} at once"),
            *([] if is_limited else [(LOCKING, "waits for {} without a lock_timeout")]),
        ):
            match = pattern.match(statement)
            table = next(filter(None, match.groups()), None) if match else None
            if table in before.files and table != "alembic_version":
                yield finding.format(table)
