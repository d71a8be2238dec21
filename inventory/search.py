"""Search by a part of the name, a range of prices, or both: indexed, or bounded."""

import re
from decimal import Decimal
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, select, text

from app.api.pagination import Page, PageRequest, Statement, Wanted, paginate, paginate_scanning
from app.db.engine import dialect
from app.errors import Unprocessable
from inventory.models import Product, fold
from inventory.queries import ORDERS, PRODUCT

TRIGRAM = re.compile(r"[^\W_]{3}")
"""What an index of trigrams needs: three letters or digits in a row."""
PART = Product.folded.like(bindparam("part"), escape="/")
PRICES = {
    "min_price": Product.price >= bindparam("min_price"),
    "max_price": Product.price <= bindparam("max_price"),
}
# The index finds the phrase; the comparison makes every character count as it is.
IN_FTS = Product.id.in_(text("SELECT rowid FROM product_part WHERE product_part MATCH :phrase"))


def products(
    page: PageRequest,
    sort: str,
    name: str | None = None,
    min_price: Decimal | None = None,
    max_price: Decimal | None = None,
) -> Page:
    """Return a page of the products that match all of the filters."""
    prices = {"min_price": min_price, "max_price": max_price}
    asked = {key: value for key, value in prices.items() if value is not None}
    if name is None:
        return paginate(priced(frozenset(asked)), asked, ORDERS[sort], page)
    folded = fold(name)
    values = {**asked, "part": f"%{_literal(folded)}%"}
    if TRIGRAM.search(folded):
        phrase = {"phrase": '"' + folded.replace('"', '""') + '"'} if dialect() == "sqlite" else {}
        found = named(frozenset(asked), dialect())
        return paginate(found, {**values, **phrase}, ORDERS[sort], page)
    if page.include_total:
        raise Unprocessable({"include_total": ["Needs three letters in a row in name."]}, "query")
    if sort.endswith("price"):  # its order finds the bounds; another would walk past them
        return paginate_scanning(priced(frozenset(asked)), _has_part, values, ORDERS[sort], page)
    wanted = _has_part_priced(frozenset(asked))
    return paginate_scanning(priced(frozenset()), wanted, values, ORDERS[sort], page)


@cache
def priced(names: frozenset[str]) -> Statement:
    """Select the products within the bounds of these names."""
    return select(*PRODUCT, Product.folded).where(*(PRICES[name] for name in sorted(names)))


@cache
def named(names: frozenset[str], database: str) -> Statement:
    """Select the same whose name has the part too, by the index of ``database``."""
    found = priced(names).where(PART)
    return found.where(IN_FTS) if database == "sqlite" else found


def _has_part(columns: Any) -> ColumnElement[bool]:
    found: ColumnElement[bool] = columns.folded.like(bindparam("part"), escape="/")
    return found


@cache
def _has_part_priced(names: frozenset[str]) -> Wanted:
    bounds: dict[str, Wanted] = {
        "min_price": lambda columns: columns.price >= bindparam("min_price"),
        "max_price": lambda columns: columns.price <= bindparam("max_price"),
    }
    return lambda columns: and_(_has_part(columns), *(bounds[n](columns) for n in sorted(names)))


def _literal(part: str) -> str:
    return re.sub("[/%_]", r"/\g<0>", part)
