"""Queries for products and their stock: they return plain rows."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    bindparam,
    case,
    func,
    literal_column,
    select,
)

from app.api.pagination import Page, PageRequest, SortOrder, Statement, paginate
from app.cache.tags import limit_age
from app.db.reads import Row, fetch_compiled
from app.db.statements import NOW, seconds_until
from app.errors import NotFound
from inventory.models import HELD, Hold, Product, StockAdjustment

IS_LIVE = (Hold.state == literal_column(f"'{HELD}'"), Hold.expires_at > NOW)
"""The condition of a live hold; its first part is that of the index."""
EXPIRED = "expired"
"""The state that is shown of a hold that was neither committed nor released in time."""


def held_units(product_id: Any) -> ColumnElement[int]:
    """Return the sum of the live holds of a product, as a subquery."""
    held = select(func.coalesce(func.sum(Hold.quantity), literal_column("0")))
    return held.where(Hold.product_id == product_id, *IS_LIVE).scalar_subquery()


def seconds_to_next_expiry(product_id: Any) -> ColumnElement[float]:
    """Return the seconds until the first of a product's live holds expires; NULL without one."""
    seconds = select(seconds_until(func.min(Hold.expires_at)))
    return seconds.where(Hold.product_id == product_id, *IS_LIVE).scalar_subquery()


def product_columns(product: Any) -> tuple[ColumnElement[Any], ...]:
    """Return what is shown of products, given the columns of their table or of a subquery.

    And how long that is true, and the key of the order by names.
    """
    return (
        product.id,
        product.sku,
        product.name,
        product.price,
        product.stock_level,
        (product.stock_level - held_units(product.id)).label("available"),
        product.archived,
        product.updated_at,
        seconds_to_next_expiry(product.id).label("seconds_left"),
        product.folded,
    )


IS_LISTED = Product.archived == bindparam("archived", type_=Boolean)
ALL_PRODUCTS = select(*product_columns(Product)).where(IS_LISTED)
PRODUCT_BY_ID = select(*product_columns(Product), Product.version).where(
    Product.id == bindparam("product_id")
)
HOLD_BY_ID = select(
    Hold.id,
    Hold.product_id,
    Hold.quantity,
    Hold.reason,
    case((Hold.state != HELD, Hold.state), (Hold.expires_at > NOW, HELD), else_=EXPIRED).label(
        "state"
    ),
    Hold.created_at,
    Hold.expires_at,
    seconds_until(Hold.expires_at).label("seconds_left"),
).where(Hold.id == bindparam("hold_id"))
ADJUSTMENT_COLUMNS = (
    StockAdjustment.id,
    StockAdjustment.product_id,
    StockAdjustment.delta,
    StockAdjustment.stock_level,
    StockAdjustment.reason,
    StockAdjustment.created_at,
)
ADJUSTMENTS = select(*ADJUSTMENT_COLUMNS).where(
    StockAdjustment.product_id == bindparam("product_id")
)
ADJUSTMENT_BY_ID = ADJUSTMENTS.where(StockAdjustment.id == bindparam("adjustment_id"))
ORDERS = {
    "id": SortOrder((Product.id,)),
    "name": SortOrder((Product.folded, Product.id)),
    "-name": SortOrder((Product.folded, Product.id), descending=True),
    "price": SortOrder((Product.price, Product.id)),
    "-price": SortOrder((Product.price, Product.id), descending=True),
}
NEWEST_FIRST = SortOrder((StockAdjustment.id,), descending=True)


def products(page: PageRequest, sort: str, archived: bool) -> Page:
    """Return a page of all products that are archived, or of all others."""
    statement = by_listed(ALL_PRODUCTS, sort)
    return aging(paginate(statement, {"archived": archived}, ORDERS[sort], page))


@cache
def by_listed(products: Statement, sort: str) -> Statement:
    """Let PostgreSQL read ``products`` from the index that begins with ``archived``.

    By id it would prefer the primary key, and scan all archived products, which often are the
    oldest, before the first of the others.
    """
    return products.order_by(Product.archived) if sort == "id" else products


def product(product_id: int) -> Row:
    """Return one product with its version; raise NotFound."""
    products = fetch_compiled(PRODUCT_BY_ID, {"product_id": product_id})
    if not products:
        raise product_not_found(product_id)
    limit_age_of(products)
    shown = products[0]
    version = shown_version(shown.version, shown.stock_level, shown.available)
    return shown._replace(version=version)


def aging(products: Page) -> Page:
    """Return the page, and let no cache keep it after a hold that it counts has expired."""
    limit_age_of(products.items)
    return products


def limit_age_of(rows: Iterable[Row]) -> None:
    """Let no cache keep the response longer than the rows are true."""
    seconds = [row.seconds_left for row in rows if row.seconds_left is not None]
    if seconds:
        limit_age(min(seconds))


def shown_version(row_version: int, stock_level: int, available: int) -> str:
    """Return the version of a product for its ETag: another one for all that is shown."""
    return str(row_version) if available == stock_level else f"{row_version}-{available}"


def hold(hold_id: int) -> Row:
    """Return one hold; raise NotFound."""
    holds = fetch_compiled(HOLD_BY_ID, {"hold_id": hold_id})
    if not holds:
        raise hold_not_found(hold_id)
    if holds[0].state == HELD:
        limit_age_of(holds)
    return holds[0]


def adjustments(product_id: int, page: PageRequest) -> Page:
    """Return a page of a product's stock adjustments, newest first; raise NotFound."""
    adjustments = paginate(ADJUSTMENTS, {"product_id": product_id}, NEWEST_FIRST, page)
    if not adjustments.items:
        product(product_id)  # raises NotFound
    return adjustments


def adjustment(product_id: int, adjustment_id: int) -> Row:
    """Return one stock adjustment of a product; raise NotFound."""
    values = {"product_id": product_id, "adjustment_id": adjustment_id}
    adjustments = fetch_compiled(ADJUSTMENT_BY_ID, values)
    if not adjustments:
        raise NotFound(f"There is no stock adjustment {adjustment_id} of product {product_id}.")
    return adjustments[0]


def product_not_found(product_id: int) -> NotFound:
    """Return the error for an unknown product."""
    return NotFound(f"There is no product {product_id}.")


def hold_not_found(hold_id: int) -> NotFound:
    """Return the error for an unknown hold."""
    return NotFound(f"There is no hold {hold_id}.")
