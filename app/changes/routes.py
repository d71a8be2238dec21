"""The route of the change feed, in pages; app/live sends it as an event stream too."""

from typing import Any

from marshmallow import Schema, ValidationError, fields

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments, response
from app.api.fields import BoundedInteger, QuerySchema
from app.api.pagination import LIMIT_DEFAULT
from app.changes.pages import NOW, Page, read_page
from app.events.models import TYPES
from app.http.accept import EVENT_STREAM
from app.http.route_options import not_stored

CHANGES = "Changes"
PATH = "/changes"
LIMIT_MAX = 1_000
WAIT_MAX_SECONDS = 20
ONE_TYPE = f"({'|'.join(TYPES)})".replace(".", r"\.")
bp = ApiBlueprint(
    "changes", __name__, tags={CHANGES: "Every committed change, once and in one order."}
)


class Types(fields.Field[frozenset[str]]):
    """Types of events, with commas between them."""

    def __init__(self) -> None:
        text = f"Only events of these types, with commas between them: {', '.join(TYPES)}."
        shape = {"type": "string", "pattern": f"^{ONE_TYPE}(,{ONE_TYPE})*$"}
        super().__init__(metadata={**shape, "description": text, "examples": ["stock.changed"]})

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> frozenset[str]:
        types = frozenset(value.split(","))
        if unknown := types - set(TYPES):
            raise ValidationError(f"Unknown: {sorted(unknown)[0]!r}. Known are {', '.join(TYPES)}.")
        return types


class StreamQuery(QuerySchema):
    """The query of the change feed as an event stream."""

    after = fields.String(
        metadata={
            "description": "The cursor of an event or of a page: what followed it is returned. "
            f"`{NOW}`: no event, but a cursor of now. Without it: from the oldest event on."
        }
    )
    type = Types()


class ChangesQuery(StreamQuery):
    """The query of a page of the change feed."""

    limit = BoundedInteger(
        1, LIMIT_MAX, load_default=LIMIT_DEFAULT, metadata={"description": "Events per page."}
    )
    wait = BoundedInteger(
        1,
        WAIT_MAX_SECONDS,
        metadata={
            "description": "If there is no such event yet, respond when one comes, or after so "
            "many seconds. Under wsgi the response comes at once."
        },
    )


class EventSchema(Schema):
    """A committed change."""

    cursor = fields.String(
        required=True, metadata={"description": "Send it as `after` to go on after this event."}
    )
    type = fields.String(required=True, metadata={"enum": list(TYPES)})
    at = fields.DateTime(required=True, metadata={"description": "When it was written."})
    data = fields.Raw(
        required=True,
        metadata={
            "type": "object",
            "description": "The book, review, product or hold as its own route shows it, after "
            "the change; of what is deleted or hidden only the ids.",
        },
    )


class ChangesSchema(Schema):
    """A page of the change feed."""

    items = fields.List(fields.Nested(EventSchema), required=True)
    cursor = fields.String(
        required=True,
        metadata={
            "description": "Where the next page begins: its `after`. It also passes events of "
            "other types, so it moves on where no event is shown."
        },
    )
    has_more = fields.Boolean(
        required=True, metadata={"description": "Whether the next page may have events already."}
    )


@bp.get(PATH, tag=CHANGES)
@arguments(ChangesQuery)
@not_stored
@response(200, ChangesSchema, 410, under_asgi=(EVENT_STREAM,))
def list_changes(query: dict[str, Any]) -> Page:
    """List committed changes, in their order.

    Every change is an event, once; the events of one thing are in the order of its changes. They
    are kept for `FEED_DAYS` days: after that, their cursors get a 410. A page goes through a
    bounded number of events, so with `type` it can have few or none and still `has_more`.
    With `Accept: text/event-stream` (under asgi) the response is an endless stream of
    server-sent events, whose ids are cursors and whose data are events; `Last-Event-ID` goes
    before `after`.
    """
    return read_page(query.get("after"), query.get("type"), query["limit"])
