"""Loads of products from CSV files: fields, derived values and the stock ledger."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

from sqlalchemy import bindparam, insert, select

from app.api.fields import ID_MAX, BoundedInteger, CleanText, Price
from app.db.engine import fetch_all
from app.db.types import now
from app.extensions import db
from app.loading.columns import Flag, Identifier, Rfc3339DateTime
from app.loading.csv_files import Row
from app.loading.loader import LoadSpec
from app.loading.upsert import Change, upsert
from app.text import fold
from inventory import cache_tags, rules
from inventory.models import NAME_MAX, PRICE_MAX, SKU_MAX, STOCK_MAX, Product, StockAdjustment
from inventory.rules import FIRST_STOCK
from inventory.schemas import NewProductSchema
from inventory.services import lock_products


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


def write_products(batch: Sequence[Row], key: str) -> set[str]:
    """Write products and their stock adjustments; return the cache tags to invalidate."""
    changes = upsert(Product, batch, key, _derive, required=("name", "price"))
    _add_to_ledger(changes)
    old = {cache_tags.product_tag(c.before["id"]) for c in changes if c.before is not None}
    return {*cache_tags.ALL_PRODUCTS, *old} if changes else set()


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
    entries = [
        {
            "sku": change.row.values["sku"],
            "delta": delta,
            "stock_level": change.after["stock_level"],
            "reason": "load" if change.before else FIRST_STOCK,
        }
        for change in changes
        if (delta := _stock_delta(change))
    ]
    if entries:
        product_id = select(Product.id).where(Product.sku == bindparam("sku")).scalar_subquery()
        statement = insert(StockAdjustment).values(product_id=product_id)
        db.session.execute(statement, entries)


def _stock_delta(change: Change) -> int:
    before: int = change.before["stock_level"] if change.before else 0
    after: int = change.after.get("stock_level", before)
    return after - before


PRODUCTS = LoadSpec(
    schema=ProductRowSchema,
    exported=ExportedProductSchema,
    keys=("sku",),
    write=write_products,
    prepare=leave_times_of_stored,
)
