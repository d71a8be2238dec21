"""Lists, page by page, at the same cost at any depth."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from marshmallow import fields, post_load
from sqlalchemy import (
    ColumnCollection,
    ColumnElement,
    Integer,
    Row,
    bindparam,
    func,
    select,
    tuple_,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import Select
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.api.cursors import PAGING, Key, decode_cursor, encode_cursor
from app.api.fields import BoundedInteger, QuerySchema, StrictBoolean
from app.db.engine import fetch_all

LIMIT_MAX = 100
LIMIT_DEFAULT = 20
LIMIT = "page_limit"
MAX_SCANNED_ROWS = 10_000


@dataclass(frozen=True)
class PageRequest:
    """Which page is asked for."""

    limit: int = LIMIT_DEFAULT
    cursor: str | None = None
    include_total: bool = False
    list_name: str | None = None
    """What its cursors are bound to; None is the path and the filters of this HTTP request."""


class PageQuery(QuerySchema):
    """The names that every list takes."""

    limit = BoundedInteger(
        1, LIMIT_MAX, load_default=LIMIT_DEFAULT, metadata={"description": "Items on a page."}
    )
    cursor = fields.String(
        metadata={"description": "`next_cursor` of the page before, with the same filters."},
    )
    include_total = StrictBoolean(
        load_default=False, metadata={"description": "Count all that match, as `total`."}
    )

    @post_load
    def as_page(self, loaded: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Put the names of paging together, so that a query's filters stand alone."""
        paging = {name: loaded.pop(name) for name in PAGING & loaded.keys()}
        return {**loaded, "page": PageRequest(**paging)}


@dataclass(frozen=True)
class Page:
    """One page of a list: rows with the fields of its schema."""

    items: Sequence[Row[*tuple[Any, ...]]]
    next_cursor: str | None
    total: int | None = None


Statement = Select[*tuple[Any, ...]]
RowFilter = Callable[[ColumnCollection[str, Any]], ColumnElement[bool]]


@dataclass(frozen=True)
class SortOrder:
    """The keys of a list, the last of which is unique, and whether they run downwards.

    All run in one direction, so that one comparison of row values says what comes after a
    cursor: an index on the keys is entered there, at any depth.
    """

    keys: tuple[Key, ...]
    descending: bool = False

    def of(self, columns: Iterable[Key | ColumnElement[Any]]) -> list[ColumnElement[Any]]:
        """Order by ``columns``, which are the keys in this or another selection."""
        return [column.desc() if self.descending else column.asc() for column in columns]


def paginate(
    statement: Statement, values: Mapping[str, Any], order: SortOrder, page: PageRequest
) -> Page:
    """Return a page of ``statement``, which selects the keys and takes ``values``.

    The statement is one object for all calls: SQLAlchemy then finds it compiled.
    """
    shaped = _page_of(statement, order, page.cursor is not None)
    found = fetch_all(shaped, {**values, **_place(order, page), LIMIT: page.limit + 1})
    items = found[: page.limit]
    more = len(found) > page.limit
    following = encode_cursor(items[-1], order.keys, page.list_name) if more else None
    return Page(items, following, count(statement, values) if page.include_total else None)


def count(statement: Statement, values: Mapping[str, Any]) -> int:
    """Return how many rows there are on all pages of ``statement``."""
    return int(fetch_all(_count_of(statement), values)[0][0])


def paginate_scanning(
    statement: Statement,
    wanted: RowFilter,
    values: Mapping[str, Any],
    order: SortOrder,
    page: PageRequest,
) -> Page:
    """Return a page of what ``wanted`` holds for, looking at SCAN rows of ``statement`` at most.

    For a condition that no index serves. The page may be short, and is continued all the same.
    ``wanted`` makes the condition from the columns of the rows looked at.
    """
    continued = page.cursor is not None
    placed = {**values, **_place(order, page), LIMIT: page.limit + 1}
    found = fetch_all(_wanted_of(statement, wanted, order, continued), placed)
    if len(found) > page.limit:
        return _cut(found, order, page)
    last = fetch_all(
        _after(statement, order, continued).offset(MAX_SCANNED_ROWS - 1).limit(1), placed
    )
    if not last:
        return Page(found, None)
    # Rows may have moved since the first look: what this page holds ends where the next begins.
    end = {_last(key): last[0]._mapping[key.key] for key in order.keys}
    found = fetch_all(_wanted_to_end_of(statement, wanted, order, continued), {**placed, **end})
    if len(found) > page.limit:
        return _cut(found, order, page)
    return Page(found, encode_cursor(last[0], order.keys, page.list_name))


def _cut(found: Sequence[Row[*tuple[Any, ...]]], order: SortOrder, page: PageRequest) -> Page:
    end = encode_cursor(found[page.limit - 1], order.keys, page.list_name)
    return Page(found[: page.limit], end)


class _LastKey(FunctionElement[Any]):
    """The value of a last key, an id, which has to be told SQLite as something with a collation.

    Only then does it enter an index at all keys; it would walk through all rows with equal others.
    """

    inherit_cache = True


@compiles(_LastKey)
def _plain(element: _LastKey, compiler: SQLCompiler, **words: Any) -> str:
    return compiler.process(element.clauses, **words)


@compiles(_LastKey, "sqlite")
def _collated(element: _LastKey, compiler: SQLCompiler, **words: Any) -> str:
    return f"{_plain(element, compiler, **words)} COLLATE BINARY"


@lru_cache(maxsize=256)
def _page_of(statement: Statement, order: SortOrder, continued: bool) -> Statement:
    return _after(statement, order, continued).limit(bindparam(LIMIT, type_=Integer))


@lru_cache(maxsize=256)
def _wanted_of(
    statement: Statement, wanted: RowFilter, order: SortOrder, continued: bool
) -> Statement:
    return _wanted(_after(statement, order, continued).limit(MAX_SCANNED_ROWS), wanted, order)


@lru_cache(maxsize=256)
def _wanted_to_end_of(
    statement: Statement, wanted: RowFilter, order: SortOrder, continued: bool
) -> Statement:
    here = tuple_(*order.keys)
    end = tuple_(*(bindparam(_last(key), type_=key.type) for key in order.keys))
    window = _after(statement, order, continued).where(
        here >= end if order.descending else here <= end
    )
    return _wanted(window, wanted, order)


def _wanted(window: Statement, wanted: RowFilter, order: SortOrder) -> Statement:
    looked_at = window.subquery()
    keys = [looked_at.c[key.key] for key in order.keys]
    chosen = select(looked_at).where(wanted(looked_at.c)).order_by(*order.of(keys))
    return chosen.limit(bindparam(LIMIT, type_=Integer))


def _after(statement: Statement, order: SortOrder, continued: bool) -> Statement:
    ordered = statement.order_by(*order.of(order.keys))
    if not continued:
        return ordered
    here = tuple_(*order.keys)
    *others, last = (bindparam(_name(key), type_=key.type) for key in order.keys)
    there = tuple_(*others, _LastKey(last) if others else last)
    return ordered.where(here < there if order.descending else here > there)


def _place(order: SortOrder, page: PageRequest) -> dict[str, Any]:
    if page.cursor is None:
        return {}
    values = decode_cursor(page.cursor, order.keys, page.list_name)
    return {_name(key): value for key, value in zip(order.keys, values, strict=True)}


@lru_cache(maxsize=256)
def _count_of(statement: Statement) -> Statement:
    return select(func.count()).select_from(statement.subquery())


def _name(key: Key) -> str:
    return f"after_{key.key}"


def _last(key: Key) -> str:
    return f"last_{key.key}"
