"""Keyset pagination: every page of a list costs the same, however deep it is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from marshmallow import fields, post_load
from sqlalchemy import (
    ColumnCollection,
    ColumnElement,
    Integer,
    bindparam,
    func,
    select,
    tuple_,
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
MAX_SCANNED_ROWS = 10_000


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
RowFilter = Callable[[ColumnCollection[str, Any]], ColumnElement[bool]]
"""Returns a condition on the columns of a subquery."""


@dataclass(frozen=True)
class SortOrder:
    """The sort keys of a list; the last one is unique.

    All have the same direction, so that one comparison of row values finds the rows after a
    cursor: the database then enters an index on the keys, however deep the page is.
    """

    keys: tuple[Key, ...]
    descending: bool = False

    def apply(self, columns: Iterable[Key | ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """Return the ORDER BY clauses for ``columns``: the keys of this or of a subquery."""
        return [column.desc() if self.descending else column.asc() for column in columns]


def paginate(
    statement: Statement, values: Mapping[str, Any], order: SortOrder, page: PageRequest
) -> Page:
    """Return a page of ``statement``, executed with the bind parameters ``values``.

    The statement selects all keys of ``order``. Pass the same object each time: the statements
    built from it are cached, and with them their compiled SQL.
    """
    bounded = _bounded(statement, order, page.cursor is not None)
    rows = fetch_compiled(bounded, _parameters(values, order, page))
    total = count(statement, values) if page.include_total else None
    return _cut(rows, order, page, total=total)


def count(statement: Statement, values: Mapping[str, Any]) -> int:
    """Return the number of rows on all pages of ``statement``."""
    return int(fetch_compiled(_count(statement), values)[0][0])


def paginate_scanning(
    statement: Statement,
    row_filter: RowFilter,
    values: Mapping[str, Any],
    order: SortOrder,
    page: PageRequest,
) -> Page:
    """Return a page of the rows that ``row_filter`` selects, for a condition without an index.

    It scans at most MAX_SCANNED_ROWS rows of ``statement``. So a page can have fewer items than
    its limit and still have a next page.
    """
    continued, scanned = page.cursor is not None, MAX_SCANNED_ROWS
    parameters = _parameters(values, order, page)
    scan = _scan(statement, row_filter, order, continued, scanned)
    rows = fetch_compiled(scan, parameters)
    if len(rows) > page.limit:
        return _cut(rows, order, page)
    at_bound = _at_bound(statement, order, continued, scanned)
    if not (last := fetch_compiled(at_bound, parameters)):
        return Page(rows, None)
    # Rows may have been inserted or deleted since the first scan. The second one ends exactly at
    # the row where the next page begins.
    end = {_end_name(key): getattr(last[0], key.key) for key in order.keys}
    scan = _scan_to_end(statement, row_filter, order, continued)
    rows = fetch_compiled(scan, {**parameters, **end})
    return _cut(rows, order, page, last[0])


def _cut(
    rows: Rows, order: SortOrder, page: PageRequest, last: Any = None, total: int | None = None
) -> Page:
    """Return the rows up to the limit; the next page begins after these, else after ``last``."""
    if len(rows) > page.limit:
        rows = rows[: page.limit]
        last = rows[-1]
    cursor = None if last is None else encode_cursor(last, order.keys, page.list_name)
    return Page(rows, cursor, total)


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


@lru_cache(maxsize=256)
def _bounded(statement: Statement, order: SortOrder, continued: bool) -> Statement:
    return _after_cursor(statement, order, continued).limit(LIMIT)


@lru_cache(maxsize=256)
def _scan(
    statement: Statement, row_filter: RowFilter, order: SortOrder, continued: bool, scanned: int
) -> Statement:
    window = _after_cursor(statement, order, continued).limit(scanned)
    return _filtered(window, row_filter, order)


@lru_cache(maxsize=256)
def _at_bound(statement: Statement, order: SortOrder, continued: bool, scanned: int) -> Statement:
    return _after_cursor(statement, order, continued).offset(scanned - 1).limit(1)


@lru_cache(maxsize=256)
def _scan_to_end(
    statement: Statement, row_filter: RowFilter, order: SortOrder, continued: bool
) -> Statement:
    keys = tuple_(*order.keys)
    end = tuple_(*(bindparam(_end_name(key), type_=key.type) for key in order.keys))
    window = _after_cursor(statement, order, continued).where(
        keys >= end if order.descending else keys <= end
    )
    return _filtered(window, row_filter, order)


def _filtered(window: Statement, row_filter: RowFilter, order: SortOrder) -> Statement:
    scanned = window.subquery()
    keys = [scanned.c[key.key] for key in order.keys]
    selected = select(scanned).where(row_filter(scanned.c)).order_by(*order.apply(keys))
    return selected.limit(LIMIT)


def _after_cursor(statement: Statement, order: SortOrder, continued: bool) -> Statement:
    ordered = statement.order_by(*order.apply(order.keys))
    if not continued:
        return ordered
    keys = tuple_(*order.keys)
    *others, last = (bindparam(_position_name(key), type_=key.type) for key in order.keys)
    position = tuple_(*others, _LastKey(last) if others else last)
    return ordered.where(keys < position if order.descending else keys > position)


def _parameters(values: Mapping[str, Any], order: SortOrder, page: PageRequest) -> dict[str, Any]:
    # One row more than the page has: if it exists, there is a next page.
    parameters = {**values, LIMIT.key: page.limit + 1}
    if page.cursor is not None:
        position = decode_cursor(page.cursor, order.keys, page.list_name)
        parameters.update(zip(map(_position_name, order.keys), position, strict=True))
    return parameters


@lru_cache(maxsize=256)
def _count(statement: Statement) -> Statement:
    return select(func.count()).select_from(statement.subquery())


def _position_name(key: Key) -> str:
    return f"after_{key.key}"


def _end_name(key: Key) -> str:
    return f"last_{key.key}"
