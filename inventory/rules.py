"""The rules of products: what a change makes of a product, and why it may be refused.

They need no database. services.py applies them to one locked row, and bulk.py to many, so that a
change has the same result either way.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from app.db.types import now
from app.errors import Conflict, PreconditionFailed
from inventory.models import STOCK_MAX
from inventory.queries import shown_version

CHANGED = "The product has changed since it was read."
FIRST_STOCK = "first stock"
STOCK_SET = "stock level set"
CHANGING = ("sku", "name", "price", "stock_level", "archived")
NEW = datetime.min.replace(tzinfo=UTC)
"""In the place of ``at`` for a product that is not inserted yet: it has no holds."""


class ProductState(NamedTuple):
    """A product while its row is locked, with the units of its live holds."""

    id: int | None
    """None until the product is inserted."""
    sku: str
    name: str
    price: Decimal
    stock_level: int
    updated_at: datetime
    archived: bool
    version: int
    held: int = 0
    at: datetime = NEW
    """When these holds were live: the clock of the database, read after the row was locked."""

    @property
    def available(self) -> int:
        return self.stock_level - self.held

    @property
    def etag(self) -> str:
        """The ETag without its quotes: the version, and with live holds what is available."""
        return shown_version(self.version, self.stock_level, self.available)


def check_version(product: ProductState, versions: Collection[str] | None) -> None:
    """Raise PreconditionFailed unless one of ``versions`` is that of the product; None: any is."""
    if versions is not None and product.etag not in versions:
        raise PreconditionFailed(CHANGED)


def change(product: ProductState, values: Mapping[str, Any]) -> ProductState:
    """Return the product with ``values``, or ``product`` itself if it has them already.

    Raise Conflict if the stock of an archived product would change, or be less than is held. That
    an SKU is free has to be checked by the caller.
    """
    if all(getattr(product, name) == value for name, value in values.items()):
        return product
    changed = product._replace(**values, version=product.version + 1, updated_at=now())
    if changed.stock_level != product.stock_level:
        _check_stock(product, changed)
    return changed


def adjust(product: ProductState, delta: int) -> ProductState:
    """Return the product with ``delta`` more units; raise Conflict as ``change`` does."""
    changed = product._replace(
        stock_level=product.stock_level + delta, version=product.version + 1, updated_at=now()
    )
    _check_stock(product, changed)
    return changed


def differences(before: ProductState, after: ProductState) -> dict[str, Any]:
    """Return the values of ``after`` that differ, by column, but for version and time."""
    values = {name: getattr(after, name) for name in CHANGING}
    return {name: value for name, value in values.items() if value != getattr(before, name)}


def sku_taken(sku: str) -> Conflict:
    """Return the error for an SKU that another product has."""
    return Conflict(f"A product with SKU {sku} already exists.")


def is_archived(product: ProductState) -> Conflict:
    """Return the error for a change of the stock of an archived product."""
    return Conflict(f"The product {product.sku} is archived: its stock cannot be changed.")


def _check_stock(before: ProductState, after: ProductState) -> None:
    if before.archived and after.archived:
        raise is_archived(before)
    level, removed = before.stock_level, before.stock_level - after.stock_level
    if after.stock_level < 0:
        raise Conflict(f"There are {level} units in stock, too few to remove {removed}.")
    if after.stock_level > STOCK_MAX:
        raise Conflict(f"There are {level} units in stock; the maximum is {STOCK_MAX}.")
    if removed > 0 and after.available < 0:
        raise Conflict(f"{before.held} of the {level} units in stock are held.")
