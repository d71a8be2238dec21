"""Products from files: which fields there are, and what a change of stock leaves behind."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import insert, select

from app.api.fields import Price, Text, Whole
from app.db.engine import now
from app.extensions import db
from app.loading.csv_files import Row
from app.loading.loader import Target
from app.loading.upsert import Change, upsert
from inventory.models import NAME_MAX, PRICE_MAX, STOCK_MAX, Product, StockAdjustment, fold
from inventory.schemas import NewProductSchema
from inventory.services import FIRST_STOCK

LOADED = "load"
NEEDED = ("name", "price")


class ProductRowSchema(NewProductSchema):
    """A product in a file, which may say as little as a new price of one that we have."""

    name = Text(NAME_MAX)
    price = Price(PRICE_MAX)
    stock_level = Whole(0, STOCK_MAX)


def write_products(batch: Sequence[Row], key: str) -> set[str]:
    """Write products and enter what changed in their stock; return the tags to forget."""
    changes = upsert(Product, batch, key, _completed, NEEDED)
    _enter(changes)
    old = {f"product:{change.before['id']}" for change in changes if change.before is not None}
    return {"products", *old} if changes else set()


def _completed(values: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    if stored is None:
        first = {"stock_level": values.get("stock_level", 0), "version": 1}
        return {**first, "updated_at": now(), "folded": fold(values["name"])}
    folded = {"folded": fold(values["name"])} if "name" in values else {}
    return {"version": stored["version"] + 1, "updated_at": now(), **folded}


def _enter(changes: Sequence[Change]) -> None:
    """Write changes of stock into the ledger, in the transaction that makes them."""
    moved = [(change, delta) for change in changes if (delta := _delta(change))]
    if not moved:
        return
    new = [change.after["sku"] for change, _ in moved if change.before is None]
    found = db.session.execute(select(Product.sku, Product.id).where(Product.sku.in_(new)))
    ids = {row.sku: row.id for row in found} if new else {}
    entries = [
        {
            "product_id": change.before["id"] if change.before else ids[change.after["sku"]],
            "delta": delta,
            "stock_level": change.after["stock_level"],
            "reason": LOADED if change.before else FIRST_STOCK,
        }
        for change, delta in moved
    ]
    db.session.execute(insert(StockAdjustment), entries)


def _delta(change: Change) -> int:
    before: int = change.before["stock_level"] if change.before else 0
    after: int = change.after.get("stock_level", before)
    return after - before


PRODUCTS = Target(schema=ProductRowSchema, keys=("sku",), write=write_products)
