"""Writes of products: the business rules. Each change of stock adds a row to the ledger."""

from collections.abc import Collection
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from sqlalchemy import String, cast, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.db.types import now
from app.errors import ApiError, Conflict, PreconditionFailed
from app.extensions import db
from app.text import fold
from app.unit_of_work import commit
from inventory.cache_tags import MEMBERS, PRODUCTS, tags_of_change
from inventory.models import STOCK_MAX, Product, StockAdjustment
from inventory.queries import PRODUCT_WITH_VERSION, product_not_found

FIRST_STOCK = "first stock"
CHANGED = "The product has changed since it was read."


def add_product(sku: str, name: str, price: Decimal, stock_level: int) -> Any:
    """Add a product with its initial stock; raise Conflict if its SKU is taken."""
    values = {"sku": sku, "name": name, "price": price, "stock_level": stock_level}
    statement = insert(Product).values(**values, folded=fold(name)).returning(*PRODUCT_WITH_VERSION)
    try:
        product = db.session.execute(statement).one()
    except IntegrityError:
        db.session.rollback()
        raise Conflict(f"A product with SKU {sku} already exists.") from None
    _add_to_ledger(product, stock_level, FIRST_STOCK)
    commit(invalidate=[PRODUCTS, MEMBERS])
    return product


def update_product(
    product_id: int,
    versions: Collection[str] | None,
    price: Decimal | None = None,
    stock_level: int | None = None,
) -> Any:
    """Set price, stock level or both.

    Raise NotFound, or PreconditionFailed when the version is not one of ``versions``; with None,
    every version is accepted.
    """
    locking = select(*PRODUCT_WITH_VERSION).where(Product.id == product_id).with_for_update()
    current = db.session.execute(locking).one_or_none()
    if current is None:
        raise _roll_back(product_not_found(product_id))
    if not _accepts(versions, current.version):
        raise _roll_back(PreconditionFailed(CHANGED))
    price = current.price if price is None else price
    stock_level = current.stock_level if stock_level is None else stock_level
    if (price, stock_level) == (current.price, current.stock_level):
        db.session.rollback()
        return current
    statement = _update(product_id).values(price=price, stock_level=stock_level)
    product = db.session.execute(statement).one()
    _add_to_ledger(product, stock_level - current.stock_level, "stock level set")
    commit(invalidate=tags_of_change(product_id, price=price != current.price))
    return product


def adjust_stock(
    product_id: int, versions: Collection[str] | None, delta: int, reason: str | None = None
) -> Any:
    """Change the stock by ``delta`` units; return the product and ``adjustment_id``.

    Raise NotFound, Conflict if the stock would be out of bounds, or PreconditionFailed as
    ``update_product`` does.
    """
    # The old level is compared with bounds, as the new level could overflow before a comparison.
    fits = Product.stock_level.between(-delta, STOCK_MAX - max(delta, 0))
    change = _update(product_id).where(fits).values(stock_level=Product.stock_level + delta)
    if versions is not None:
        change = change.where(cast(Product.version, String).in_(versions))
    product = db.session.execute(change).one_or_none()
    if product is None:
        raise _roll_back(_refusal(product_id, versions, delta))
    adjustment_id = _add_to_ledger(product, delta, reason)
    commit(invalidate=tags_of_change(product_id))
    return SimpleNamespace(**product._mapping, adjustment_id=adjustment_id)


def _update(product_id: int) -> Any:
    return (
        update(Product)
        .where(Product.id == product_id)
        .values(version=Product.version + 1, updated_at=now())
        .returning(*PRODUCT_WITH_VERSION)
        .execution_options(synchronize_session=False)
    )


def _accepts(versions: Collection[str] | None, version: int) -> bool:
    return versions is None or str(version) in versions


def _add_to_ledger(product: Any, delta: int, reason: str | None) -> int | None:
    """Add a change of stock to the ledger, unless it is 0; return the id of the adjustment."""
    if not delta:
        return None
    values = {"delta": delta, "stock_level": product.stock_level, "reason": reason}
    statement = insert(StockAdjustment).values(product_id=product.id, **values)
    return db.session.scalar(statement.returning(StockAdjustment.id))


def _refusal(product_id: int, versions: Collection[str] | None, delta: int) -> ApiError:
    current = select(Product.stock_level, Product.version).where(Product.id == product_id)
    found = db.session.execute(current).one_or_none()
    if found is None:
        return product_not_found(product_id)
    level, version = found
    if not _accepts(versions, version):
        return PreconditionFailed(CHANGED)
    if delta < 0:
        return Conflict(f"There are {level} units in stock, too few to remove {-delta}.")
    return Conflict(f"There are {level} units in stock; the maximum is {STOCK_MAX}.")


def _roll_back(error: ApiError) -> ApiError:
    db.session.rollback()
    return error
