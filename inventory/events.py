"""The events of products, of their stock and of holds: what each write of them has to tell."""

from typing import Any, cast

from app.api.contract import document_of
from app.events.log import NewEvent
from inventory.cache_tags import product_tag
from inventory.rules import ProductState, differences
from inventory.schemas import HoldSchema, ProductSchema

PRODUCT, HOLD = document_of(ProductSchema), document_of(HoldSchema)


def events_of_product(
    before: ProductState | None, after: ProductState, reason: str | None
) -> list[NewEvent]:
    """Return the events of a product that was created, if ``before`` is None, or changed.

    ``reason`` is that of a change of its stock, as in the ledger.
    """
    shown, topic = PRODUCT(after), product_tag(cast(int, after.id))
    if before is None:
        return [NewEvent("product.created", topic, shown)]
    names = differences(before, after).keys()
    happened = {
        "product.changed": bool(names - {"archived", "stock_level"}),
        "product.archived": "archived" in names and after.archived,
        "product.restored": "archived" in names and not after.archived,
    }
    events = [NewEvent(kind, topic, shown) for kind, is_true in happened.items() if is_true]
    if delta := after.stock_level - before.stock_level:
        events.append(NewEvent("stock.changed", topic, {**shown, "delta": delta, "reason": reason}))
    return events


def hold_event(kind: str, hold: Any) -> NewEvent:
    """Return the event ``hold.<kind>``, given the row of the hold. Its topic is the product."""
    return NewEvent(f"hold.{kind}", product_tag(hold.product_id), HOLD(hold))
