"""Reads: columns in, plain rows out. Each statement is made once, for all calls."""

from typing import Any

from sqlalchemy import Row, bindparam, select

from app.api.pagination import Order, Page, PageRequest, paginate
from app.db.engine import rows
from app.errors import NotFound
from inventory.models import Product, StockAdjustment

PRODUCT = (
    Product.id,
    Product.sku,
    Product.name,
    Product.price,
    Product.stock_level,
    Product.updated_at,
)
ONE_PRODUCT = select(*PRODUCT, Product.version).where(Product.id == bindparam("product_id"))
PRODUCT_ID = select(Product.id).where(Product.id == bindparam("product_id"))
ADJUSTMENTS = select(
    StockAdjustment.id,
    StockAdjustment.product_id,
    StockAdjustment.delta,
    StockAdjustment.stock_level,
    StockAdjustment.reason,
    StockAdjustment.created_at,
).where(StockAdjustment.product_id == bindparam("product_id"))
ORDERS = {
    "id": Order((Product.id,)),
    "name": Order((Product.folded, Product.id)),
    "-name": Order((Product.folded, Product.id), descending=True),
    "price": Order((Product.price, Product.id)),
    "-price": Order((Product.price, Product.id), descending=True),
}
NEWEST_FIRST = Order((StockAdjustment.id,), descending=True)
ALL = select(*PRODUCT, Product.folded)


def products(page: PageRequest, sort: str) -> Page:
    """Return a page of all products."""
    return paginate(ALL, {}, ORDERS[sort], page)


def product(product_id: int) -> Row[*tuple[Any, ...]]:
    """Return one product with its version; raise NotFound."""
    found = rows(ONE_PRODUCT, {"product_id": product_id})
    if not found:
        raise no_product(product_id)
    return found[0]


def adjustments(product_id: int, page: PageRequest) -> Page:
    """Return a page of a product's changes of stock, newest first; raise NotFound."""
    whose = {"product_id": product_id}
    found = paginate(ADJUSTMENTS, whose, NEWEST_FIRST, page)
    if not found.items and not rows(PRODUCT_ID, whose):
        raise no_product(product_id)
    return found


def no_product(product_id: int) -> NotFound:
    """Say that there is no such product."""
    return NotFound(f"There is no product {product_id}.")
