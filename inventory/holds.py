"""Writes of holds: units of a product that nobody else can take until the hold ends.

All that is decided about a product, its holds included, is decided while its row is locked, at one
moment of the clock of the database: that of ``ProductState.at``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import insert, select, update

from app.errors import Conflict
from app.extensions import db
from app.unit_of_work import commit, end_unchanged
from inventory import rules
from inventory.cache_tags import tags_of_write
from inventory.events import events_of_product, hold_event
from inventory.models import COMMITTED, HELD, RELEASED, Hold
from inventory.queries import hold_not_found
from inventory.rules import ProductState
from inventory.services import locked, write

HOLD_COLUMNS = (
    Hold.id,
    Hold.product_id,
    Hold.quantity,
    Hold.reason,
    Hold.state,
    Hold.created_at,
    Hold.expires_at,
)


def add_hold(product_id: int, quantity: int, expires_in: int, reason: str | None = None) -> Any:
    """Hold units of a product for ``expires_in`` seconds.

    Raise NotFound, or Conflict if fewer are available or the product is archived.
    """
    with locked(product_id) as product:
        if product.archived:
            raise rules.is_archived(product)
        if quantity > product.available:
            detail = f"There are {product.available} units available, too few to hold {quantity}."
            raise Conflict(detail)
        values = {
            "product_id": product_id,
            "quantity": quantity,
            "reason": reason,
            "state": HELD,
            "created_at": product.at,
            "expires_at": product.at + timedelta(seconds=expires_in),
        }
        hold = db.session.execute(insert(Hold).values(values).returning(*HOLD_COLUMNS)).one()
        tags = tags_of_write(product, product)
        commit(invalidate=tags, events=[hold_event("created", hold)])
        return hold


def commit_hold(hold_id: int) -> Any:
    """Take the units of a hold off the stock; if that was done before, only return the hold.

    Raise NotFound, or Conflict if the hold was released or has expired, or its product is archived.
    """
    with _locked_hold(hold_id) as (product, hold):
        if hold.state == COMMITTED:
            end_unchanged()
            return hold
        if hold.state == RELEASED:
            raise Conflict(f"Hold {hold_id} was released.")
        if hold.expires_at <= product.at:
            raise Conflict(f"Hold {hold_id} has expired.")
        # The units count once: as held, or as sold.
        unheld = product._replace(held=product.held - hold.quantity)
        sold = rules.adjust(unheld, -hold.quantity)
        ended = _end(hold_id, COMMITTED)
        reason = hold.reason or f"hold {hold_id}"
        write(product, sold, reason)
        events = [hold_event("committed", ended), *events_of_product(unheld, sold, reason)]
        commit(invalidate=tags_of_write(product, sold), events=events)
        return ended


def release_hold(hold_id: int) -> None:
    """End a hold; do nothing if it was released before or has expired.

    Raise NotFound, or Conflict if it was committed.
    """
    with _locked_hold(hold_id) as (product, hold):
        if hold.state == COMMITTED:
            raise Conflict(f"Hold {hold_id} was committed: its units are sold.")
        if hold.state == RELEASED or hold.expires_at <= product.at:
            end_unchanged()
            return
        released = _end(hold_id, RELEASED)
        tags = tags_of_write(product, product)
        commit(invalidate=tags, events=[hold_event("released", released)])


@contextmanager
def _locked_hold(hold_id: int) -> Iterator[tuple[ProductState, Any]]:
    """Lock the product of a hold, and then read the hold; raise NotFound."""
    product_id = db.session.scalar(select(Hold.product_id).where(Hold.id == hold_id))
    if product_id is None:
        db.session.rollback()
        raise hold_not_found(hold_id)
    with locked(product_id) as product:
        yield product, db.session.execute(select(*HOLD_COLUMNS).where(Hold.id == hold_id)).one()


def _end(hold_id: int, state: str) -> Any:
    ending = update(Hold).where(Hold.id == hold_id, Hold.state == HELD).values(state=state)
    return db.session.execute(ending.returning(*HOLD_COLUMNS)).one()
