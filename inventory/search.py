"""The search for products by part of the name and price range; each page reads bounded rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, select, text

from app.api.pagination import Page, PageRequest, SortOrder, Statement, count, paginate
from app.api.scanning import RowFilter, paginate_scanning
from app.db.engine import dialect_name
from app.db.statements import LIKE_ESCAPE, TRIGRAM, escape_like, match_phrase
from app.errors import Unprocessable
from app.text import fold
from inventory.models import Product
from inventory.queries import (
    ALL_PRODUCTS,
    IS_LISTED,
    ORDERS,
    aging,
    by_listed,
    product_columns,
)

FILTERS: dict[str, RowFilter] = {
    "min_price": lambda columns: columns.price >= bindparam("min_price"),
    "max_price": lambda columns: columns.price <= bindparam("max_price"),
    "part": lambda columns: columns.folded.like(bindparam("part"), escape=LIKE_ESCAPE),
    # The full-text index of SQLite finds the words of the phrase; "part" compares each character.
    "phrase": lambda columns: columns.id.in_(
        text("SELECT rowid FROM product_part WHERE product_part MATCH :phrase")
    ),
}
"""Conditions on the columns of a product, by the name of their bind parameter."""
STARTS = {"price": "min_price", "-price": "max_price"}
"""The filter that is the bound at which an order starts."""


@dataclass(frozen=True)
class _Search:
    """A search: its conditions, with the values of their bind parameters."""

    values: Mapping[str, Any]
    bounds: frozenset[str]
    """The conditions on the price."""
    indexed: bool
    """Whether an index finds all the rows: the name has three consecutive letters or digits."""

    def check_total(self, field: str) -> None:
        """Raise Unprocessable if counting would read every product."""
        if not self.indexed:
            detail = "Requires three consecutive letters or digits in name."
            raise Unprocessable({field: [detail]}, "query")


def products(page: PageRequest, sort: str, *, archived: bool, **filters: Any) -> Page:
    """Return a page of the products that match all of the ``filters``; see ProductSearchQuery."""
    search = _search(filters)
    values = {**search.values, "archived": archived}
    if page.include_total:
        search.check_total("include_total")
    if search.indexed:
        order, others = _order(sort, frozenset(search.values))
        statement = by_listed(select_products(others), sort)
        return aging(paginate(statement, values, order, page))
    # In the order of prices, the index seeks to the bounds.
    indexed = search.bounds if sort.endswith("price") else frozenset[str]()
    order, others = _order(sort, indexed)
    scanned = by_listed(scan_products(others), sort)
    row_filter = match_all(frozenset(search.values) - indexed)
    found = paginate_scanning(scanned, row_filter, values, order, page, columns=product_columns)
    return aging(found)


def count_products(sort: str, *, archived: bool, **filters: Any) -> int:
    """Count the products that match all of the ``filters``, in any order."""
    search = _search(filters)
    search.check_total("totalCount")
    order, others = _order(sort, frozenset(search.values))
    return count(select_products(others), {**search.values, "archived": archived}, order)


def _search(filters: Mapping[str, Any]) -> _Search:
    values = {name: value for name, value in filters.items() if value is not None}
    bounds = frozenset(values) - {"name"}
    if "name" not in values:
        return _Search(values, bounds, indexed=True)
    folded = fold(values.pop("name"))
    values["part"] = f"%{escape_like(folded)}%"
    indexed = TRIGRAM.search(folded) is not None
    if indexed and dialect_name() == "sqlite":
        values["phrase"] = match_phrase(folded)
    return _Search(values, bounds, indexed)


@cache
def _order(sort: str, names: frozenset[str]) -> tuple[SortOrder, frozenset[str]]:
    """Return the order, which starts at its bound, and the filters that are no such bound."""
    start = names & {STARTS.get(sort, "")}
    return replace(ORDERS[sort], start=tuple(_filters(start))), names - start


@cache
def select_products(names: frozenset[str]) -> Statement:
    """Return the statement with the filters of these names."""
    return ALL_PRODUCTS.where(*_filters(names))


@cache
def scan_products(names: frozenset[str]) -> Statement:
    """Return the statement of the rows to scan: columns of the table only, with these filters."""
    return select(Product.__table__).where(IS_LISTED, *_filters(names))


def _filters(names: frozenset[str]) -> list[ColumnElement[bool]]:
    return [FILTERS[name](Product.__table__.c) for name in sorted(names)]


@cache
def match_all(names: frozenset[str]) -> RowFilter:
    """Return one filter for all filters of these names."""
    return lambda columns: and_(*(FILTERS[name](columns) for name in sorted(names)))
