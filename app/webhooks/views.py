"""The routes of webhooks."""

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments, response
from app.api.pagination import Page, PageQuery
from app.auth.api_keys import private, scope
from app.http.preconditions import if_match
from app.webhooks import queries, services
from app.webhooks.schemas import (
    DeliverySchema,
    NewWebhookSchema,
    ReplaySchema,
    RotationSchema,
    TestEventSchema,
    WebhookChangeSchema,
    WebhookSchema,
    WebhookWithSecretSchema,
)

Versions = frozenset[str] | None
SCOPE = "webhooks:write"
WEBHOOKS = "Webhooks"
bp = ApiBlueprint(
    "webhooks",
    __name__,
    tags={WEBHOOKS: "Events sent to URLs, signed, in order, and again until they arrive."},
)


@bp.get("/webhooks", tag=WEBHOOKS)
@private
@scope(SCOPE)
@arguments(PageQuery)
@response(200, WebhookSchema, 403, paged=True)
def list_webhooks(query: dict[str, Any]) -> Page:
    """List all webhooks."""
    return queries.webhooks(**query)


@bp.post("/webhooks", tag=WEBHOOKS)
@private
@scope(SCOPE)
@arguments(NewWebhookSchema)
@response(201, WebhookWithSecretSchema, 409, location="/webhooks/{0.id}", version_etag=True)
def create_webhook(body: dict[str, Any]) -> Any:
    """Add a webhook; only this response shows its secret.

    It gets the events that follow, signed in the way of Standard Webhooks. There can be 1,000
    webhooks; then the response is 409.
    """
    return services.add_webhook(**body)


@bp.get("/webhooks/<id:webhook_id>", tag=WEBHOOKS)
@private
@scope(SCOPE)
@response(200, WebhookSchema, 403, version_etag=True)
def get_webhook(webhook_id: int) -> Any:
    """Get a webhook, without its secret. Its ETag can be sent as If-Match with a change."""
    return queries.webhook(webhook_id)


@bp.patch("/webhooks/<id:webhook_id>", tag=WEBHOOKS)
@private
@scope(SCOPE)
@arguments(WebhookChangeSchema)
@if_match
@response(200, WebhookSchema, 409, version_etag=True)
def update_webhook(webhook_id: int, body: dict[str, Any], versions: Versions) -> Any:
    """Change a webhook, or disable it, or enable it again.

    With If-Match, the response is 412 if the webhook has changed since its ETag was read. It is
    409 if it would be enabled, but its next event is no longer stored: replay first.
    """
    return services.update_webhook(webhook_id, versions, **body)


@bp.delete("/webhooks/<id:webhook_id>", tag=WEBHOOKS)
@private
@scope(SCOPE)
@if_match
@response(204, None)
def delete_webhook(webhook_id: int, versions: Versions) -> None:
    """Delete a webhook and its deliveries. An attempt that is being made may still arrive."""
    services.delete_webhook(webhook_id, versions)


@bp.get("/webhooks/<id:webhook_id>/deliveries", tag=WEBHOOKS)
@private
@scope(SCOPE)
@arguments(PageQuery)
@response(200, DeliverySchema, 403, paged=True)
def list_deliveries(webhook_id: int, query: dict[str, Any]) -> Page:
    """List the attempts to send events to a webhook, newest first, as long as they are kept."""
    return queries.deliveries(webhook_id, **query)


@bp.post("/webhooks/<id:webhook_id>/replay", tag=WEBHOOKS)
@private
@scope(SCOPE)
@arguments(ReplaySchema)
@response(200, WebhookSchema, 410, version_etag=True)
def replay_webhook(webhook_id: int, body: dict[str, Any]) -> Any:
    """Send the events after a cursor again, or leave out all up to now.

    If events after the cursor are no longer stored, the response is 410. A webhook that is
    disabled stays so.
    """
    return services.replay(webhook_id, **body)


@bp.post("/webhooks/<id:webhook_id>/rotate", tag=WEBHOOKS)
@private
@scope(SCOPE)
@arguments(RotationSchema)
@response(200, WebhookWithSecretSchema, version_etag=True)
def rotate_webhook(webhook_id: int, body: dict[str, Any]) -> Any:
    """Replace the secret; only this response shows the new one.

    During the grace each request has two signatures, one of them with the old secret.
    """
    return services.rotate_secret(webhook_id, **body)


@bp.post("/webhooks/<id:webhook_id>/test", tag=WEBHOOKS)
@private
@scope(SCOPE)
@response(202, TestEventSchema)
def test_webhook(webhook_id: int) -> Any:
    """Send an event of the type `webhook.test`, once, also to a disabled webhook.

    The deliverer sends it within seconds; what came of it is in the deliveries, with the same
    `message_id`. While one is waiting to be sent, the response names that one.
    """
    return services.request_test(webhook_id)
