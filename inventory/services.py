"""Writes: the rules, one commit each. Each change of stock leaves a row in the ledger."""

from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from werkzeug.datastructures import ETags

from app.cache.tags import commit_and_forget
from app.db.engine import now
from app.errors import ApiError, Conflict, PreconditionFailed
from app.extensions import db
from app.http.response import GZIPPED
from inventory.models import STOCK_MAX, Product, StockAdjustment, fold
from inventory.queries import PRODUCT, no_product

FIRST_STOCK = "first stock"
SET_BY_HAND = "stock level set"
SHOWN = (*PRODUCT, Product.version)


def add_product(sku: str, name: str, price: Decimal, stock_level: int) -> Any:
    """Add a product with its first stock; raise Conflict if its SKU is taken."""
    values = {"sku": sku, "name": name, "price": price, "stock_level": stock_level}
    statement = insert(Product).values(**values, folded=fold(name)).returning(*SHOWN)
    try:
        product = db.session.execute(statement).one()
    except IntegrityError:
        db.session.rollback()
        raise Conflict(f"There is a product with SKU {sku} already.") from None
    _enter(product, stock_level, FIRST_STOCK)
    commit_and_forget("products")
    return product


def update_product(
    product_id: int, expected: ETags, price: Decimal | None = None, stock_level: int | None = None
) -> Any:
    """Set price, stock level or both.

    Raise NotFound, or PreconditionFailed when ``expected`` names versions, and not the present.
    """
    present = _locked(product_id)
    if expected and not _is_among(present.version, expected):
        raise _rolled_back(PreconditionFailed("The product has changed since it was read."))
    price = present.price if price is None else price
    stock_level = present.stock_level if stock_level is None else stock_level
    if (price, stock_level) == (present.price, present.stock_level):
        db.session.rollback()
        return present
    changed = {"price": price, "stock_level": stock_level}
    product = db.session.execute(_change(product_id).values(changed)).one()
    _enter(product, stock_level - present.stock_level, SET_BY_HAND)
    commit_and_forget("products", f"product:{product_id}")
    return product


def adjust_stock(product_id: int, delta: int, reason: str | None = None) -> Any:
    """Move stock by ``delta`` units; raise NotFound, or Conflict if it would leave its bounds."""
    level = Product.stock_level + delta
    # Bounds on both sides of the sum, as it would overflow before it could be compared.
    fits = Product.stock_level.between(-delta, STOCK_MAX - max(delta, 0))
    moved = _change(product_id).where(fits).values(stock_level=level)
    product = db.session.execute(moved).one_or_none()
    if product is None:
        raise _rolled_back(_why_not(product_id, delta))
    _enter(product, delta, reason)
    commit_and_forget("products", f"product:{product_id}")
    return product


def _is_among(version: int, expected: ETags) -> bool:
    """Compare as the client has it: a compressed answer had another ETag."""
    return expected.contains(str(version)) or expected.contains(f"{version}{GZIPPED}")


def _change(product_id: int) -> Any:
    return (
        update(Product)
        .where(Product.id == product_id)
        .values(version=Product.version + 1, updated_at=now())
        .returning(*SHOWN)
        .execution_options(synchronize_session=False)
    )


def _locked(product_id: int) -> Any:
    """Read a product, and keep other writers from it until the commit."""
    statement = select(*SHOWN).where(Product.id == product_id).with_for_update()
    present = db.session.execute(statement).one_or_none()
    if present is None:
        raise _rolled_back(no_product(product_id))
    return present


def _enter(product: Any, delta: int, reason: str | None) -> None:
    """Write a change into the ledger; a change of nothing is none."""
    if delta:
        values = {"delta": delta, "stock_level": product.stock_level, "reason": reason}
        db.session.execute(insert(StockAdjustment).values(product_id=product.id, **values))


def _why_not(product_id: int, delta: int) -> ApiError:
    level = db.session.scalar(select(Product.stock_level).where(Product.id == product_id))
    if level is None:
        return no_product(product_id)
    if delta < 0:
        return Conflict(f"There are {level} units in stock, too few to take {-delta}.")
    return Conflict(f"There are {level} units in stock; {delta} more cannot be counted.")


def _rolled_back(error: ApiError) -> ApiError:
    db.session.rollback()
    return error
