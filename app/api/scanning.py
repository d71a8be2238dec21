"""Keyset pages of the rows that match a condition without an index: each scans bounded rows."""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnCollection, ColumnElement, bindparam, select, tuple_

from app.api.cursors import Key
from app.api.fields import ID_MAX
from app.api.pagination import (
    LIMIT,
    Page,
    PageRequest,
    Place,
    SortOrder,
    Statement,
    compared_keys,
    cut,
    parts_after,
    read_position,
)
from app.db.reads import fetch_compiled

MAX_SCANNED_ROWS = 10_000
RowFilter = Callable[[ColumnCollection[str, Any]], ColumnElement[bool]]
"""Returns a condition on the columns of a subquery."""
Columns = Callable[[ColumnCollection[str, Any]], Iterable[ColumnElement[Any]]]
"""Returns what to select, given the columns of a subquery."""


def paginate_scanning(
    statement: Statement,
    row_filter: RowFilter,
    values: Mapping[str, Any],
    order: SortOrder,
    page: PageRequest,
    *,
    columns: Columns = tuple,
) -> Page:
    """Return a page of the rows that ``row_filter`` selects, for a condition without an index.

    It scans at most MAX_SCANNED_ROWS rows of ``statement``, and of an order with a nullable key
    only rows with it or only rows without it. So a page can have fewer items than its limit and
    still have a next page. Only for the rows of the page, ``columns`` adds what costs more to
    select; it includes the keys of ``order``.
    """
    place, position = read_position(order, page)
    parameters = {**values, **position, LIMIT.key: page.limit + 1}
    scan = _scan(statement, row_filter, order, place, scanned=MAX_SCANNED_ROWS, columns=columns)
    rows = fetch_compiled(scan, parameters)
    if len(rows) > page.limit:
        return cut(rows, order, page)
    at_bound = _at_bound(statement, order, place, MAX_SCANNED_ROWS)
    if not (last := fetch_compiled(at_bound, parameters)):
        rows_without_key = order.nullable and place is not Place.AFTER_NULL
        return cut(rows, order, page, _before_nulls(order) if rows_without_key else None)
    # Rows may have been inserted or deleted since the first scan. The second one ends exactly at
    # the row where the next page begins.
    end = {_end_name(key): getattr(last[0], key.key) for key in order.keys}
    scan = _scan_to_end(statement, row_filter, order, place, columns)
    return cut(fetch_compiled(scan, {**parameters, **end}), order, page, last[0])


def _before_nulls(order: SortOrder) -> Any:
    """Return a row that precedes all rows whose first key is null."""
    first, last = order.keys
    return SimpleNamespace(**{first.key: None, last.key: ID_MAX + 1 if order.descending else 0})


@lru_cache(maxsize=256)
def _scan(
    statement: Statement,
    row_filter: RowFilter,
    order: SortOrder,
    place: Place,
    *,
    scanned: int,
    columns: Columns,
) -> Statement:
    window = parts_after(statement, order, place)[0].limit(scanned)
    return _filtered(window, row_filter, order, columns)


@lru_cache(maxsize=256)
def _at_bound(statement: Statement, order: SortOrder, place: Place, scanned: int) -> Statement:
    return parts_after(statement, order, place)[0].offset(scanned - 1).limit(1)


@lru_cache(maxsize=256)
def _scan_to_end(
    statement: Statement, row_filter: RowFilter, order: SortOrder, place: Place, columns: Columns
) -> Statement:
    compared = compared_keys(order, place)
    keys = tuple_(*compared)
    end = tuple_(*(bindparam(_end_name(key), type_=key.type) for key in compared))
    window = parts_after(statement, order, place)[0].where(
        keys >= end if order.descending else keys <= end
    )
    return _filtered(window, row_filter, order, columns)


def _filtered(
    window: Statement, row_filter: RowFilter, order: SortOrder, columns: Columns
) -> Statement:
    scanned = window.subquery()
    keys = [scanned.c[key.key] for key in order.keys]
    selected = select(*columns(scanned.c)).where(row_filter(scanned.c))
    return selected.order_by(*order.apply(keys)).limit(LIMIT)


def _end_name(key: Key) -> str:
    return f"last_{key.key}"
