"""Many products in one transaction: they are locked, changed in memory by the rules, and written.

The number of statements does not depend on the number of products.
"""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from sqlalchemy import select

from app.db.types import now
from app.errors import NotFound
from app.events.log import NewEvent
from app.extensions import db
from inventory import bulk_statements as statements
from inventory import rules
from inventory.bulk_schemas import ADJUST, CREATE, UPDATE
from inventory.cache_tags import MEMBERS, PRODUCTS, tags_of_write
from inventory.events import events_of_product
from inventory.models import Product
from inventory.queries import product_not_found
from inventory.rules import ProductState
from inventory.services import lock_products

STATUSES = {CREATE: HTTPStatus.CREATED, UPDATE: HTTPStatus.OK, ADJUST: HTTPStatus.CREATED}


class LockedProduct:
    """A product, as it was when it was locked and as it is to be."""

    def __init__(self, before: ProductState | None, state: ProductState) -> None:
        self.before = before
        """None if the product is to be inserted."""
        self.state = state


class Change(NamedTuple):
    """What one operation has made of a product; ``before`` is None if it created the product."""

    product: LockedProduct
    before: ProductState | None
    after: ProductState
    reason: str | None
    """Of the change of its stock."""


class Outcome(NamedTuple):
    """The status of one operation, its product, and the state in which it left the product."""

    status: HTTPStatus
    product: LockedProduct
    state: ProductState


class Batch:
    """The products of some operations."""

    def __init__(self, operations: Collection[Mapping[str, Any]]) -> None:
        renames = (each["op"] == UPDATE and {"id", "sku"} <= each.keys() for each in operations)
        creates = (each["op"] == CREATE for each in operations)
        statements.lock_skus(creates=any(creates), renames=any(renames))
        ids = {each["id"] for each in operations if "id" in each}
        skus = {each["sku"] for each in operations if "sku" in each}
        # The owners of new SKUs are locked too: this batch may change theirs.
        ids.update(db.session.scalars(select(Product.id).where(Product.sku.in_(skus))))
        self._existing = [LockedProduct(each, each) for each in lock_products(ids).values()]
        self._created: list[LockedProduct] = []
        self._by_id = {each.state.id: each for each in self._existing}
        self._by_sku = {each.state.sku: each for each in self._existing}
        self._changes: list[Change] = []
        self._now = now()

    def apply(self, operation: Mapping[str, Any]) -> Outcome:
        """Change a product in memory; raise the ApiError that a request for it alone would get."""
        values = dict(operation)
        status, versions = STATUSES[values.pop("op")], values.pop("if_match", None)
        if operation["op"] == CREATE:
            return Outcome(status, *self._create(**values))
        product = self._find(values)
        rules.check_version(product.state, None if versions is None else {versions})
        change = self._adjust if operation["op"] == ADJUST else self._update
        return Outcome(status, product, change(product, **values))

    def _find(self, values: dict[str, Any]) -> LockedProduct:
        """Return the product that is meant, and remove from ``values`` what names it."""
        if "id" in values:
            product_id = values.pop("id")
            product, missing = self._by_id.get(product_id), product_not_found(product_id)
        else:
            sku = values.pop("sku")
            product, missing = self._by_sku.get(sku), NotFound(f"There is no product {sku}.")
        if product is None:
            raise missing
        return product

    def _create(self, **values: Any) -> tuple[LockedProduct, ProductState]:
        if values["sku"] in self._by_sku:
            raise rules.sku_taken(values["sku"])
        state = ProductState(None, **values, updated_at=self._now, archived=False, version=1)
        product = LockedProduct(None, state)
        self._created.append(product)
        self._by_sku[state.sku] = product
        self._changes.append(Change(product, None, state, rules.FIRST_STOCK))
        return product, state

    def _adjust(self, product: LockedProduct, delta: int, reason: str | None) -> ProductState:
        return self._set(product, rules.adjust(product.state, delta), reason)

    def _update(self, product: LockedProduct, **values: Any) -> ProductState:
        before, after = product.state, rules.change(product.state, values)
        if after is before:
            return before
        if self._by_sku.get(after.sku, product) is not product:
            raise rules.sku_taken(after.sku)
        del self._by_sku[before.sku]
        self._by_sku[after.sku] = product
        return self._set(product, after, rules.STOCK_SET)

    def _set(self, product: LockedProduct, after: ProductState, reason: str | None) -> ProductState:
        before, product.state = product.state, after._replace(updated_at=self._now)
        self._changes.append(Change(product, before, product.state, reason))
        return product.state

    def write(self) -> list[str]:
        """Write all changes to the current transaction; return the cache tags to invalidate.

        Raise IntegrityError if another transaction has taken an SKU meanwhile.
        """
        pairs = [(p.before, p.state) for p in self._existing if p.before and p.state != p.before]
        statements.update_products(pairs)
        ids = statements.insert_products([product.state for product in self._created])
        for product in self._created:
            product.state = product.state._replace(id=ids[product.state.sku])
        statements.insert_adjustments(
            {
                "product_id": product.state.id,
                "delta": delta,
                "stock_level": after.stock_level,
                "reason": reason,
                "created_at": self._now,
            }
            for product, before, after, reason in self._changes
            if (delta := after.stock_level - (before.stock_level if before else 0))
        )
        tags = {tag for pair in pairs for tag in tags_of_write(*pair)}
        return sorted(tags.union([PRODUCTS, MEMBERS] if self._created else []))

    def events(self) -> list[NewEvent]:
        """Return the events of all operations, each with its product as the operation left it.

        Call it after ``write``: new products have no id before.
        """
        return [
            event
            for product, before, after, reason in self._changes
            for event in events_of_product(before, after._replace(id=product.state.id), reason)
        ]
