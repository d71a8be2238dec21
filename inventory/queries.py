"""Queries for products and their stock: they return plain rows."""

from sqlalchemy import bindparam, select

from app.api.pagination import Page, PageRequest, SortOrder, paginate
from app.db.reads import Row, fetch_compiled
from app.errors import NotFound
from inventory.models import Product, StockAdjustment

PRODUCT_COLUMNS = (
    Product.id,
    Product.sku,
    Product.name,
    Product.price,
    Product.stock_level,
    Product.updated_at,
)
PRODUCT_WITH_VERSION = (*PRODUCT_COLUMNS, Product.version)
PRODUCT_BY_ID = select(*PRODUCT_WITH_VERSION).where(Product.id == bindparam("product_id"))
ADJUSTMENTS = select(
    StockAdjustment.id,
    StockAdjustment.product_id,
    StockAdjustment.delta,
    StockAdjustment.stock_level,
    StockAdjustment.reason,
    StockAdjustment.created_at,
).where(StockAdjustment.product_id == bindparam("product_id"))
ADJUSTMENT_BY_ID = ADJUSTMENTS.where(StockAdjustment.id == bindparam("adjustment_id"))
ORDERS = {
    "id": SortOrder((Product.id,)),
    "name": SortOrder((Product.folded, Product.id)),
    "-name": SortOrder((Product.folded, Product.id), descending=True),
    "price": SortOrder((Product.price, Product.id)),
    "-price": SortOrder((Product.price, Product.id), descending=True),
}
NEWEST_FIRST = SortOrder((StockAdjustment.id,), descending=True)
ALL_PRODUCTS = select(*PRODUCT_COLUMNS, Product.folded)


def products(page: PageRequest, sort: str) -> Page:
    """Return a page of all products."""
    return paginate(ALL_PRODUCTS, {}, ORDERS[sort], page)


def product(product_id: int) -> Row:
    """Return one product with its version; raise NotFound."""
    products = fetch_compiled(PRODUCT_BY_ID, {"product_id": product_id})
    if not products:
        raise product_not_found(product_id)
    return products[0]


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
