"""What followers of the feed record, in the process that checks them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

WEBHOOK = "webhook"
"""The transport that delivers each event at least once, and may repeat some."""
Shown = Mapping[str, Any]
"""An event as a client receives it: ``cursor``, ``type``, ``at``, ``data``, or a part of that."""


@dataclass
class FollowerRecord:
    """What one follower received, in its order, on all of its connections."""

    transport: str
    """A key of ``followers.TRANSPORTS``."""
    types: frozenset[str] | None = None
    """The types of events that it asks for; None for all."""
    book: int | None = None
    """The book whose new reviews it asks for."""
    uses_cursor: bool = True
    """Whether it begins at a cursor that it reads before; else at the first event it receives."""
    start: str | None = None
    """That cursor."""
    events: list[Shown] = field(default_factory=list)
    connections: int = 0
    drops: int = 0
    """Connections that the follower closed."""
    closed: list[tuple[float, str]] = field(default_factory=list)
    """Connections that the service closed: when, and how."""
    errors: list[str] = field(default_factory=list)
    """What it received that no service may send, such as a wrong signature."""

    @property
    def has_begun(self) -> bool:
        """Return whether each later event that it asks for has to reach it."""
        return bool(self.start or self.events)

    def selects(self, event: Shown) -> bool:
        """Return whether the follower asks for an event of the log."""
        is_wanted = self.types is None or event["type"] in self.types
        return is_wanted and self.book in {None, event["data"].get("book_id")}

    def __str__(self) -> str:
        """Describe what the follower asks for."""
        types = "all" if self.types is None else ",".join(sorted(self.types))
        book = f" of book {self.book}" if self.book else ""
        return f"{self.transport}, {types}{book}, from {self.start}"


def position_of(event: Shown) -> int:
    """Return the position of an event in its log."""
    return int(event["cursor"].partition("-")[2])
