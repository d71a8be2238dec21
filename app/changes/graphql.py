"""The GraphQL subscription ``changes``."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson
import strawberry
from strawberry import UNSET
from strawberry.scalars import JSON

from app.errors import Unprocessable
from app.events.log import Event, format_cursor
from app.events.models import TYPES
from app.graphql.schema import DateTime
from app.graphql.subscriptions import Followed, SubscriptionField

KNOWN = ", ".join(TYPES)


@strawberry.type(description="A committed change, with its position in the event log.")
class Change:
    """A committed change, with its position in the event log."""

    cursor: str = strawberry.field(description="Pass it as `after` to get only later changes.")
    type: str = strawberry.field(description=f"One of {KNOWN}.")
    at: DateTime = strawberry.field(description="When it was written.")
    data: JSON = strawberry.field(
        description="The book, review, product or hold as REST shows it, after the change; of what "
        "is deleted or hidden only the ids."
    )


@strawberry.type
class Subscription:
    """The subscription to all kinds of changes."""

    @strawberry.subscription(
        description="Every committed change, once and in the order of GET /changes; with `types` "
        "only changes of these types. `after` is the cursor of an event: the subscription starts "
        "with the events that followed it."
    )
    async def changes(
        self, types: list[str] | None = UNSET, after: str | None = UNSET
    ) -> AsyncGenerator[Change, None]:
        """Declare the field only: app/live executes it for each event, with the event as root."""
        raise NotImplementedError
        yield  # type: ignore[unreachable]  # makes this an async generator


def _follow(arguments: Mapping[str, Any]) -> Followed:
    types = arguments.get("types") or ()
    unknown = {index: kind for index, kind in enumerate(types) if kind not in TYPES}
    if unknown:
        messages = {index: [f"Unknown. Known are {KNOWN}."] for index in unknown}
        raise Unprocessable({"types": messages}, "query")
    return Followed(None, frozenset(types) or None)


def _root(log: str, event: Event) -> Change:
    return Change(
        cursor=format_cursor(log, event.position),
        type=event.type,
        at=DateTime(event.at),
        data=orjson.Fragment(event.data),  # type: ignore[arg-type]
    )


CHANGES = SubscriptionField(_follow, _root)
