"""Rows of webhooks as the deliverer leaves them."""

from datetime import UTC, datetime
from typing import Any

from flask import Flask
from sqlalchemy import select, update

from app.extensions import db
from app.webhooks.models import Webhook, WebhookDelivery

URL = "https://shop.example/events"
LONG_AGO = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILING = {"failed_attempts": 3, "failing_since": LONG_AGO, "next_attempt_at": LONG_AGO}
GIVEN_UP = {**FAILING, "enabled": False, "disabled_reason": "an event failed for 3 days"}


def row_of(app: Flask, webhook_id: int) -> Webhook:
    """Return the row of a webhook."""
    with app.app_context():
        return db.session.scalars(select(Webhook).where(Webhook.id == webhook_id)).one()


def set_columns(app: Flask, webhook_id: int, **values: Any) -> None:
    """Write columns as the deliverer does."""
    with app.app_context():
        db.session.execute(update(Webhook).where(Webhook.id == webhook_id).values(values))
        db.session.commit()


def add_deliveries(app: Flask, webhook_id: int, *deliveries: dict[str, Any]) -> None:
    """Record attempts, the oldest first."""
    plain = {"message_id": "m", "type": "stock.changed", "attempt": 1, "duration_ms": 12}
    with app.app_context():
        for each in deliveries:
            db.session.add(WebhookDelivery(webhook_id=webhook_id, **{**plain, **each}))
            db.session.flush()
        db.session.commit()
