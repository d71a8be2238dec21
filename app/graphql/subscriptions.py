"""How the fields of the Subscription type use the event log; app/live executes them."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from app.events.log import Event


class Followed(NamedTuple):
    """What a subscription with certain arguments follows."""

    topic: str | None
    """The limit of different queries is for each topic of a field; None: of all others."""
    keys: frozenset[str] | None
    """The types and topics of its events; None: all."""
    check: Callable[[], Any] | None = None
    """Raises ApiError if the subject of ``topic`` does not exist; may read the database."""


class SubscriptionField(NamedTuple):
    """A field of the Subscription type."""

    follow: Callable[[Mapping[str, Any]], Followed]
    """Receives the arguments of the field; raises ApiError for invalid ones."""
    root: Callable[[str, Event], Any]
    """Returns the root value for an event of the named log."""
