"""Keyset pagination: every page of a list costs the same, however deep it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from marshmallow import fields, post_load
from sqlalchemy import (
    ColumnElement,
    Integer,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.api.cursors import PAGE_PARAMETERS, Key, decode_cursor, encode_cursor
from app.api.fields import BoundedInteger, QuerySchema, StrictBoolean
from app.db.reads import Row, fetch_compiled

LIMIT_MAX = 100
LIMIT_DEFAULT = 20
LIMIT = bindparam("page_limit", type_=Integer)
"""The number of rows to read."""


@dataclass(frozen=True)
class PageRequest:
    """The requested page of a list."""

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    include_total: bool = False
    list_name: str | None = None
    """Identifies the list in its cursors; None: path and filters of the current request do."""


class PageQuery(QuerySchema):
    """The query parameters of every list."""

    limit = BoundedInteger(
        1, LIMIT_MAX, load_default=LIMIT_DEFAULT, metadata={"description": "Items per page."}
    )
    cursor = fields.String(
        metadata={"description": "`next_cursor` of the previous page, with the same filters."}
    )
    include_total = StrictBoolean(
        load_default=False, metadata={"description": "Also return `total`, of all pages."}
    )

    @post_load
    def as_page(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Collect the page parameters in ``page``, apart from the filters of the list."""
        parameters = {name: loaded.pop(name) for name in PAGE_PARAMETERS & loaded.keys()}
        return {**loaded, "page": PageRequest(**parameters)}


Rows = Sequence[Row]


@dataclass(frozen=True)
class Page:
    """One page of a list: rows with the fields of the schema."""

    items: Rows
    next_cursor: str | None
    total: int | None = None


Statement = Select[*tuple[Any, ...]]


@dataclass(frozen=True)
class SortOrder:
    """The sort keys of a list; the last one is unique.

    All have the same direction, so that one comparison of row values finds the rows after a
    cursor: the database then enters an index on the keys, however deep the page is.
    """

    keys: tuple[Key, ...]
    descending: bool = False
    nullable: bool = False
    """Whether the first key may be null: rows without it come last, in both directions."""
    indexed: bool = True
    """Whether an index may have this order; without one, all rows are found once and sorted."""
    start: tuple[ColumnElement[bool], ...] = ()
    """Bounds of the first key at which the list begins: every row after a cursor is within them,
    and a database that is given both may seek to the bound, and read on to the cursor."""
    parts: tuple[ColumnElement[bool], ...] = ()
    """Conditions that select the list in parts, where the index has only these in order."""

    def apply(self, columns: Iterable[Key | ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """Return the ORDER BY clauses for ``columns``: the keys of this or of a subquery."""
        return [column.desc() if self.descending else column.asc() for column in columns]


class Place(Enum):
    """The kind of place at which a page begins."""

    START = "the first row"
    AFTER = "after a row that has all keys"
    AFTER_NULL = "after a row whose first key is null"


def paginate(
    statement: Statement, values: Mapping[str, Any], order: SortOrder, page: PageRequest
) -> Page:
    """Return a page of ``statement``, executed with the bind parameters ``values``.

    The statement selects all keys of ``order``. Pass the same object each time: the statements
    built from it are cached, and with them their compiled SQL.
    """
    place, position = read_position(order, page)
    # One row more than the page has: if it exists, there is a next page.
    parameters = {**values, **position, LIMIT.key: page.limit + 1}
    rows = fetch_compiled(_bounded(statement, order, place), parameters)
    total = count(statement, values, order) if page.include_total else None
    return cut(rows, order, page, total=total)


def count(statement: Statement, values: Mapping[str, Any], order: SortOrder | None = None) -> int:
    """Return the number of rows on all pages of ``statement``, in that order if it has bounds."""
    return int(fetch_compiled(_count(statement, order), values)[0][0])


def read_position(order: SortOrder, page: PageRequest) -> tuple[Place, dict[str, Any]]:
    """Return where ``page`` begins, and the bind parameters for it."""
    if page.cursor is None:
        return Place.START, {}
    position = decode_cursor(page.cursor, order.keys, page.list_name)
    place = Place.AFTER_NULL if position[0] is None else Place.AFTER
    return place, dict(zip(map(_position_name, order.keys), position, strict=True))


def cut(
    rows: Rows, order: SortOrder, page: PageRequest, last: Any = None, total: int | None = None
) -> Page:
    """Return the rows up to the limit; the next page begins after these, else after ``last``."""
    if len(rows) > page.limit:
        rows = rows[: page.limit]
        last = rows[-1]
    cursor = None if last is None else encode_cursor(last, order.keys, page.list_name)
    return Page(rows, cursor, total)


def parts_after(statement: Statement, order: SortOrder, place: Place) -> list[Statement]:
    """Return the rows that follow ``place`` in parts, each in the order of an index.

    They are one part, unless the order has ``parts`` or its first key may be null: then those
    with the key come first, and those without it are another part.
    """
    if place is Place.START:
        statement = statement.where(*order.start)
    if order.nullable and not order.indexed:
        return [_sorted_with_nulls(statement, order, place)]
    ordered = statement.order_by(*order.apply(order.keys))
    following = ordered if place is Place.START else ordered.where(_follows(order, place))
    if not order.nullable:
        return [following.where(part) for part in order.parts] or [following]
    without_key = order.keys[0].is_(None)
    if place is Place.AFTER_NULL:
        return [following.where(without_key)]
    return [following.where(order.keys[0].is_not(None)), ordered.where(without_key)]


def _sorted_with_nulls(statement: Statement, order: SortOrder, place: Place) -> Statement:
    without_key = order.keys[0].is_(None)
    ordered = statement.order_by(without_key, *order.apply(order.keys))
    if place is Place.START:
        return ordered
    both = and_ if place is Place.AFTER_NULL else or_
    return ordered.where(both(without_key, _follows(order, place)))


def compared_keys(order: SortOrder, place: Place) -> tuple[Key, ...]:
    """Return the keys in which the rows differ that follow ``place`` in the same part."""
    return order.keys[1:] if place is Place.AFTER_NULL else order.keys


class _LastKey(FunctionElement[Any]):
    """The value of the last key, an id, with an explicit collation for SQLite.

    Without one, SQLite uses the index for the other keys only, and then scans all rows in which
    those are equal.
    """

    inherit_cache = True


@compiles(_LastKey)
def _compile(element: _LastKey, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(_LastKey, "sqlite")
def _compile_for_sqlite(element: _LastKey, compiler: SQLCompiler, **kw: Any) -> str:
    return f"{_compile(element, compiler, **kw)} COLLATE BINARY"


@lru_cache(maxsize=1_024)
def _bounded(statement: Statement, order: SortOrder, place: Place) -> Statement:
    parts = [part.limit(LIMIT) for part in parts_after(statement, order, place)]
    if len(parts) == 1:
        return parts[0]
    # Each part has been read in order and up to the limit: few rows are left to sort.
    rows = union_all(*(select(part.subquery()) for part in parts)).subquery()
    keys = [rows.c[key.key] for key in order.keys]
    nulls_last = [keys[0].is_(None)] if order.nullable else []
    return select(rows).order_by(*nulls_last, *order.apply(keys)).limit(LIMIT)


def _follows(order: SortOrder, place: Place) -> ColumnElement[bool]:
    keys = compared_keys(order, place)
    *others, last = (bindparam(_position_name(key), type_=key.type) for key in keys)
    position = tuple_(*others, _LastKey(last) if others else last)
    return tuple_(*keys) < position if order.descending else tuple_(*keys) > position


@lru_cache(maxsize=256)
def _count(statement: Statement, order: SortOrder | None) -> Statement:
    if order is not None:
        parts = [or_(*order.parts)] if order.parts else []
        statement = statement.where(*order.start, *parts)
    return select(func.count()).select_from(statement.subquery())


def _position_name(key: Key) -> str:
    return f"after_{key.key}"
