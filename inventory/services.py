"""Writes of products, one at a time; bulk.py takes the same steps for thousands.

``lock_products`` locks the rows and reads them with the units that are held, rules.py decides what
becomes of them, and one commit writes the rows, the ledger, the cache tags and the events. Rows are
locked in the order of their ids, and before any is inserted: so two writes cannot wait for each
other. Others cannot add or end a hold of a locked product. Some may expire before the commit; then
more units are available than was decided, and than the event tells.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.db.engine import dialect_name
from app.db.statements import NOW
from app.db.types import now
from app.errors import ApiError
from app.extensions import db
from app.text import fold
from app.unit_of_work import commit, end_unchanged
from inventory import rules
from inventory.cache_tags import MEMBERS, PRODUCTS, tags_of_write
from inventory.events import events_of_product
from inventory.models import Product, StockAdjustment
from inventory.queries import held_units, product_not_found
from inventory.rules import FIRST_STOCK, STOCK_SET, ProductState

IS_ONE_OF = Product.id.in_(bindparam("ids", expanding=True))
LOCK = select(Product.id).where(IS_ONE_OF).order_by(Product.id).with_for_update()
STATE = (
    Product.id,
    Product.sku,
    Product.name,
    Product.price,
    Product.stock_level,
    Product.updated_at,
    Product.archived,
    Product.version,
)
"""The columns of ProductState, in its order, but for those of the holds."""
LOCKED = select(*STATE, held_units(Product.id).label("held"), NOW.label("at")).where(IS_ONE_OF)


def add_product(sku: str, name: str, price: Decimal, stock_level: int) -> Any:
    """Add a product with its initial stock; raise Conflict if its SKU is taken."""
    values = {"sku": sku, "name": name, "price": price, "stock_level": stock_level}
    updated_at = now()
    statement = insert(Product).values(**values, updated_at=updated_at, folded=fold(name))
    try:
        id_ = db.session.scalars(statement.returning(Product.id)).one()
    except IntegrityError:
        db.session.rollback()
        raise rules.sku_taken(sku) from None
    product = ProductState(
        id_, sku, name, price, stock_level, updated_at, archived=False, version=1
    )
    _add_to_ledger(product, stock_level, FIRST_STOCK)
    events = events_of_product(None, product, FIRST_STOCK)
    commit(invalidate=[PRODUCTS, MEMBERS], events=events)
    return _shown(product)


def update_product(product_id: int, versions: Collection[str] | None, **changes: Any) -> Any:
    """Set some of sku, name, price, stock_level and archived.

    Raise NotFound, Conflict as ``rules.change`` does or if the SKU is taken, or PreconditionFailed
    when the version is not one of ``versions``; with None, every version is accepted.
    """
    with locked(product_id, versions) as before:
        after = rules.change(before, changes)
        if after is before:
            end_unchanged()
            return _shown(before)
        try:
            write(before, after, STOCK_SET)
        except IntegrityError:
            raise rules.sku_taken(after.sku) from None
        events = events_of_product(before, after, STOCK_SET)
        commit(invalidate=tags_of_write(before, after), events=events)
        return _shown(after)


def adjust_stock(
    product_id: int, versions: Collection[str] | None, delta: int, reason: str | None = None
) -> Any:
    """Change the stock by ``delta`` units; return the product and ``adjustment_id``.

    Raise NotFound, Conflict as ``rules.adjust`` does, or PreconditionFailed as ``update_product``
    does.
    """
    with locked(product_id, versions) as before:
        after = rules.adjust(before, delta)
        adjustment_id = write(before, after, reason)
        events = events_of_product(before, after, reason)
        commit(invalidate=tags_of_write(before, after), events=events)
        return _shown(after, adjustment_id=adjustment_id)


def lock_products(ids: Collection[int]) -> dict[int, ProductState]:
    """Lock those products that exist until the end of the transaction; return them by id."""
    values = {"ids": sorted(ids)}
    if dialect_name() != "sqlite":  # which has one writer at a time
        # A statement of its own: the next one sees all that was committed during the wait.
        db.session.execute(LOCK, values)
    return {row.id: ProductState(**row._mapping) for row in db.session.execute(LOCKED, values)}


@contextmanager
def locked(product_id: int, versions: Collection[str] | None = None) -> Iterator[ProductState]:
    """Lock one product for a write in this block; an ApiError rolls it back.

    Raise NotFound, or PreconditionFailed when the version is not one of ``versions``.
    """
    try:
        product = lock_products([product_id]).get(product_id)
        if product is None:
            raise product_not_found(product_id)
        rules.check_version(product, versions)
        yield product
    except ApiError:
        db.session.rollback()
        raise


def write(before: ProductState, after: ProductState, reason: str | None) -> int | None:
    """Update a product; add a change of stock to the ledger, and return the id of its row."""
    values = rules.differences(before, after)
    if "name" in values:
        values["folded"] = fold(after.name)
    values |= {"version": after.version, "updated_at": after.updated_at}
    statement = update(Product).where(Product.id == after.id).values(values)
    db.session.execute(statement.execution_options(synchronize_session=False))
    return _add_to_ledger(after, after.stock_level - before.stock_level, reason)


def _add_to_ledger(product: ProductState, delta: int, reason: str | None) -> int | None:
    """Add a change of stock to the ledger, unless it is 0; return the id of the adjustment."""
    if not delta:
        return None
    values = {"delta": delta, "stock_level": product.stock_level, "reason": reason}
    statement = insert(StockAdjustment).values(product_id=product.id, **values)
    return db.session.scalar(statement.returning(StockAdjustment.id))


def _shown(product: ProductState, **more: Any) -> Any:
    """Return the product as a response shows it: with the version that is its ETag."""
    shown = {**product._asdict(), "available": product.available, "version": product.etag}
    return SimpleNamespace(**shown, **more)
