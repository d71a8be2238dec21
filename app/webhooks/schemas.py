"""The shapes of webhooks on the wire."""

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate

from app.api.fields import (
    ID_MAX,
    BoundedInteger,
    ChangeSchema,
    CleanText,
    StrictBoolean,
)
from app.events.log import parse_cursor
from app.events.models import TYPES
from app.webhooks.models import DESCRIPTION_MAX, URL_MAX

NOW = "now"
"""In the place of a cursor: the one of the newest event."""
GRACE_DEFAULT, GRACE_MAX = 24 * 3600, 7 * 24 * 3600
CURSOR = r"^(now|[0-9a-f]{16}-(0|[1-9][0-9]{0,17}))$"
"""A pattern that any cursor has; one of 19 digits will never be reached."""


class TargetUrl(fields.String):
    """The URL of a receiver; app/webhooks/targets.py decides which ones are allowed."""

    def __init__(self, **kwargs: Any) -> None:
        text = (
            "Where events are sent: `https://`, without credentials and fragment, at a public "
            "address."
        )
        example = "https://shop.example/bookstall-events"
        metadata = {"format": "uri", "description": text, "examples": [example]}
        super().__init__(validate=validate.Length(1, URL_MAX), metadata=metadata, **kwargs)


class EventTypes(fields.List[str]):
    """A list of types of events, each once."""

    def __init__(self, **kwargs: Any) -> None:
        text = "The types of the events to send; an empty list: all types."
        metadata = {"description": text, "examples": [["product.changed", "stock.changed"]]}
        kind = fields.String(validate=validate.OneOf(TYPES))
        super().__init__(kind, metadata=metadata, **kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> list[Any]:
        chosen = super()._deserialize(value, attr, data, **kwargs)
        return [kind for kind in TYPES if kind in chosen]


def check_cursor(text: str) -> None:
    """Raise ValidationError unless ``text`` is a cursor or NOW."""
    try:
        if text != NOW:
            parse_cursor(text)
    except ValueError:
        raise ValidationError("Not a cursor of an event, nor `now`.") from None


def _description(**kwargs: Any) -> CleanText:
    metadata = {"examples": ["search index"]}
    return CleanText(DESCRIPTION_MAX, allow_none=True, metadata=metadata, **kwargs)


class NewWebhookSchema(Schema):
    """A webhook to add."""

    url = TargetUrl(required=True)
    types = EventTypes(load_default=list)
    description = _description(load_default=None)


class WebhookChangeSchema(ChangeSchema):
    """New values of a webhook; the others stay."""

    url = TargetUrl()
    types = EventTypes()
    description = _description()
    enabled = StrictBoolean(
        metadata={
            "description": "`false`: nothing is sent until it is `true` again. `true` forgets "
            "the failures, and tries again at once.",
            "examples": [True],
        }
    )


class WebhookSchema(Schema):
    """A URL to which events are sent."""

    id = BoundedInteger(1, ID_MAX, required=True)
    url = fields.String(required=True, metadata={"format": "uri"})
    types = fields.List(
        fields.String(validate=validate.OneOf(TYPES)),
        required=True,
        metadata={"description": "The types of the events that are sent; empty: all types."},
    )
    description = fields.String(required=True, allow_none=True)
    enabled = fields.Boolean(required=True)
    disabled_reason = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "Why the service disabled it; null if a client did."},
    )
    failing_since = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata={"description": "Since when the next event could not be sent; null if it can."},
    )
    created_at = fields.AwareDateTime(required=True)
    updated_at = fields.AwareDateTime(required=True)


class WebhookWithSecretSchema(WebhookSchema):
    """A webhook, with the secret that is shown only once."""

    secret = fields.String(
        required=True,
        metadata={
            "description": "The key of the signatures: `whsec_` and 32 bytes in base64.",
            "pattern": "^whsec_[A-Za-z0-9+/]{43}=$",
        },
    )


class ReplaySchema(Schema):
    """Where to begin again."""

    after = fields.String(
        required=True,
        validate=check_cursor,
        metadata={
            "description": "A cursor: the events after it are sent, in their order, also those "
            "that were sent before. `now` leaves out all that have happened.",
            "pattern": CURSOR,
            "examples": ["now"],
        },
    )


class RotationSchema(Schema):
    """How to replace the secret."""

    grace = BoundedInteger(
        0,
        GRACE_MAX,
        load_default=GRACE_DEFAULT,
        metadata={
            "description": "For so many seconds each request is signed with the old secret too.",
            "examples": [GRACE_DEFAULT],
        },
    )


class TestEventSchema(Schema):
    """A test event that is going to be sent."""

    message_id = fields.String(
        required=True,
        metadata={"description": "Its `webhook-id`, which its delivery has too."},
    )


class DeliverySchema(Schema):
    """One attempt to send an event."""

    id = BoundedInteger(1, ID_MAX, required=True)
    message_id = fields.String(
        required=True,
        metadata={"description": "The `webhook-id`: the cursor of the event."},
    )
    type = fields.String(required=True)
    attempt = BoundedInteger(
        1, ID_MAX, required=True, metadata={"description": "1 for the first one of this event."}
    )
    status = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "Of the response; null if none came."},
    )
    error = fields.String(
        required=True, allow_none=True, metadata={"description": "Why it failed; null if not."}
    )
    duration_ms = fields.Integer(required=True)
    at = fields.AwareDateTime(required=True)
