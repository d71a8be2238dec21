"""Queries for webhooks and their deliveries: they return plain rows."""

from datetime import datetime

from sqlalchemy import bindparam, select

from app.api.pagination import Page, PageRequest, SortOrder, paginate
from app.db.reads import Row, fetch_compiled
from app.errors import NotFound
from app.webhooks.models import Webhook, WebhookDelivery

WEBHOOK_COLUMNS = (
    Webhook.id,
    Webhook.url,
    Webhook.types,
    Webhook.description,
    Webhook.enabled,
    Webhook.disabled_reason,
    Webhook.failing_since,
    Webhook.created_at,
    Webhook.updated_at,
)
ALL_WEBHOOKS = select(*WEBHOOK_COLUMNS)
WEBHOOK_BY_ID = select(*WEBHOOK_COLUMNS, Webhook.version).where(
    Webhook.id == bindparam("webhook_id")
)
DELIVERIES = select(
    WebhookDelivery.id,
    WebhookDelivery.message_id,
    WebhookDelivery.type,
    WebhookDelivery.attempt,
    WebhookDelivery.status,
    WebhookDelivery.error,
    WebhookDelivery.duration_ms,
    WebhookDelivery.at,
).where(WebhookDelivery.webhook_id == bindparam("webhook_id"))
DELIVERY_OF = DELIVERIES.where(WebhookDelivery.message_id == bindparam("message_id"))
BY_ID = SortOrder((Webhook.id,))
NEWEST_FIRST = SortOrder((WebhookDelivery.id,), descending=True)


def webhooks(page: PageRequest) -> Page:
    """Return a page of all webhooks, by id."""
    return paginate(ALL_WEBHOOKS, {}, BY_ID, page)


def webhook(webhook_id: int) -> Row:
    """Return one webhook with its version; raise NotFound."""
    found = fetch_compiled(WEBHOOK_BY_ID, {"webhook_id": webhook_id})
    if not found:
        raise webhook_not_found(webhook_id)
    shown = found[0]
    version = shown_version(shown.version, shown.failing_since, shown.disabled_reason)
    return shown._replace(version=version)


def shown_version(
    row_version: int, failing_since: datetime | None, disabled_reason: str | None
) -> str:
    """Return the version of a webhook for its ETag: another one for all that is shown.

    The deliverer changes what it does not count: since when a webhook fails, and that it gave up.
    """
    since = "" if failing_since is None else f"-{round(failing_since.timestamp() * 1_000_000)}"
    return f"{row_version}{since}{'-disabled' if disabled_reason else ''}"


def deliveries(webhook_id: int, page: PageRequest) -> Page:
    """Return a page of the attempts to send to a webhook, newest first; raise NotFound."""
    found = paginate(DELIVERIES, {"webhook_id": webhook_id}, NEWEST_FIRST, page)
    if not found.items:
        webhook(webhook_id)  # raises NotFound
    return found


def delivery(webhook_id: int, message_id: str) -> Row | None:
    """Return an attempt to send this message, if one was made."""
    found = fetch_compiled(DELIVERY_OF, {"webhook_id": webhook_id, "message_id": message_id})
    return found[-1] if found else None


def webhook_not_found(webhook_id: int) -> NotFound:
    """Return the error for an unknown webhook."""
    return NotFound(f"There is no webhook {webhook_id}.")
