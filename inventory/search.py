"""The search for products by part of the name and price range; each page reads bounded rows."""

import re
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, select, text

from app.api.pagination import Page, PageRequest, RowFilter, Statement, paginate, paginate_scanning
from app.db.engine import dialect_name
from app.db.statements import LIKE_ESCAPE, escape_like
from app.errors import Unprocessable
from inventory.models import Product, fold
from inventory.queries import ORDERS, PRODUCT_COLUMNS

TRIGRAM = re.compile(r"[^\W_]{3}")
"""The shortest text that a trigram index can find: three consecutive letters or digits."""
NAME_CONTAINS = Product.folded.like(bindparam("part"), escape=LIKE_ESCAPE)
PRICE_BOUNDS = {
    "min_price": Product.price >= bindparam("min_price"),
    "max_price": Product.price <= bindparam("max_price"),
}
# The index finds the words of the phrase; NAME_CONTAINS then compares each character.
FTS_MATCH = Product.id.in_(text("SELECT rowid FROM product_part WHERE product_part MATCH :phrase"))


def products(
    page: PageRequest,
    sort: str,
    name: str | None = None,
    min_price: Decimal | None = None,
    max_price: Decimal | None = None,
) -> Page:
    """Return a page of the products that match all of the filters."""
    prices = {"min_price": min_price, "max_price": max_price}
    values: dict[str, Any] = {key: value for key, value in prices.items() if value is not None}
    bounds = frozenset(values)
    if name is None:
        return paginate(select_by_price(bounds), values, ORDERS[sort], page)
    folded = fold(name)
    values["part"] = f"%{escape_like(folded)}%"
    if TRIGRAM.search(folded):
        if dialect_name() == "sqlite":
            values["phrase"] = '"' + folded.replace('"', '""') + '"'
        statement = select_by_name(bounds, dialect_name())
        return paginate(statement, values, ORDERS[sort], page)
    if page.include_total:
        detail = "Requires three consecutive letters or digits in name."
        raise Unprocessable({"include_total": [detail]}, "query")
    if sort.endswith("price"):  # in this order the index seeks to the bounds
        statement = select_by_price(bounds)
        return paginate_scanning(statement, _name_contains, values, ORDERS[sort], page)
    matches = _name_and_price_match(bounds)
    return paginate_scanning(select_by_price(frozenset()), matches, values, ORDERS[sort], page)


@cache
def select_by_price(bounds: frozenset[str]) -> Statement:
    """Return the statement with the price bounds of these names."""
    prices = (PRICE_BOUNDS[name] for name in sorted(bounds))
    return select(*PRODUCT_COLUMNS, Product.folded).where(*prices)


@cache
def select_by_name(bounds: frozenset[str], dialect: str) -> Statement:
    """Return the statement that also searches the name, with the index of the database."""
    statement = select_by_price(bounds).where(NAME_CONTAINS)
    return statement.where(FTS_MATCH) if dialect == "sqlite" else statement


def _name_contains(columns: Any) -> ColumnElement[bool]:
    contains: ColumnElement[bool] = columns.folded.like(bindparam("part"), escape=LIKE_ESCAPE)
    return contains


@cache
def _name_and_price_match(bounds: frozenset[str]) -> RowFilter:
    filters: dict[str, RowFilter] = {
        "min_price": lambda columns: columns.price >= bindparam("min_price"),
        "max_price": lambda columns: columns.price <= bindparam("max_price"),
    }
    used = [_name_contains, *(filters[name] for name in sorted(bounds))]
    return lambda columns: and_(*(matches(columns) for matches in used))
