"""Loads of products from CSV files: fields, derived values and the stock ledger."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlalchemy import select

from app.api.fields import ID_MAX, BoundedInteger, CleanText, Price
from app.db.engine import fetch_all
from app.db.types import now
from app.events.log import NewEvent
from app.loading.columns import Flag, Identifier, Rfc3339DateTime
from app.loading.csv_files import Row
from app.loading.loader import LoadSpec, Written
from app.loading.upsert import Change, upsert
from app.text import fold
from inventory import cache_tags, rules
from inventory.bulk_statements import insert_adjustments
from inventory.events import events_of_product
from inventory.models import NAME_MAX, PRICE_MAX, SKU_MAX, STOCK_MAX, Product
from inventory.rules import CHANGING, FIRST_STOCK, ProductState
from inventory.schemas import NewProductSchema
from inventory.services import STATE, lock_products

LOAD = "load"
"""The reason of a change of stock by a load."""


class ProductRowSchema(NewProductSchema):
    """A product in a file; for a stored product all fields but the SKU are optional."""

    sku = Identifier(SKU_MAX, required=True)
    name = CleanText(NAME_MAX)
    price = Price(PRICE_MAX)
    stock_level = BoundedInteger(0, STOCK_MAX)


class ExportedProductSchema(ProductRowSchema):
    """A product of an export."""

    id = BoundedInteger(1, ID_MAX, required=True)
    archived = Flag()
    updated_at = Rfc3339DateTime()


def leave_times_of_stored(batch: Sequence[Row], fields: Set[str]) -> None:
    """Remove ``updated_at`` from the rows of stored products: a load is a change of its own."""
    if "updated_at" in fields:
        ids = [row.values["id"] for row in batch]
        stored = {row.id for row in fetch_all(select(Product.id).where(Product.id.in_(ids)))}
        for row in batch:
            if row.values["id"] in stored:
                row.values.pop("updated_at", None)


def write_products(batch: Sequence[Row], key: str) -> Written:
    """Write products and their stock adjustments."""
    required = ("name", "price")
    changes = upsert(Product, batch, key, finish=_derive, returning=STATE, required=required)
    _add_to_ledger(changes)
    old = {cache_tags.product_tag(c.before["id"]) for c in changes if c.before is not None}
    return {*cache_tags.ALL_PRODUCTS, *old} if changes else set(), _events(changes)


def _derive(values: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    folded = {"folded": fold(values["name"])} if "name" in values else {}
    if stored is None:
        return {"stock_level": values.get("stock_level", 0), **folded}
    if values.get("stock_level", stored["stock_level"]) != stored["stock_level"]:
        changes = {name: values[name] for name in ("stock_level", "archived") if name in values}
        rules.change(lock_products([stored["id"]])[stored["id"]], changes)  # or raise Conflict
    return {"version": stored["version"] + 1, "updated_at": now(), **folded}


def _add_to_ledger(changes: Sequence[Change]) -> None:
    """Add changes of stock to the ledger, in the same transaction."""
    insert_adjustments(
        {
            "product_id": stored.id,
            "delta": delta,
            "stock_level": stored.stock_level,
            "reason": LOAD if before else FIRST_STOCK,
        }
        for _, before, _, stored in changes
        if (delta := stored.stock_level - (before["stock_level"] if before else 0))
    )


def _events(changes: Sequence[Change]) -> list[NewEvent]:
    """Return the events of the changes, with what is held of each product."""
    updated = [stored.id for _, before, _, stored in changes if before is not None]
    locked = lock_products(updated) if updated else {}
    events = []
    for _, before, _, stored in changes:
        after = locked.get(stored.id) or ProductState(*stored[: len(STATE)])
        values = {name: before[name] for name in CHANGING} if before else {}
        events += events_of_product(after._replace(**values) if before else None, after, LOAD)
    return events


PRODUCTS = LoadSpec(
    schema=ProductRowSchema,
    exported=ExportedProductSchema,
    keys=("sku",),
    write=write_products,
    prepare=leave_times_of_stored,
)
