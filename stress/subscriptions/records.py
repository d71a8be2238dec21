"""What subscribers and writers record, in the process that checks them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class ReceivedEvent(NamedTuple):
    """An event that reached a subscriber."""

    log: str
    position: int
    review: int
    book: int
    at: float
    connected: float
    """When the connection was opened on which the event arrived."""


@dataclass
class SubscriberRecord:
    """What one subscriber received, in its order, on all of its connections."""

    protocol: str
    """``ws`` or ``sse``."""
    book: int | None
    """None for all books."""
    uses_cursor: bool
    """Whether it starts at the query ``eventCursor``; else at the first event that it receives."""
    start: int | None = None
    """The position of that cursor."""
    events: list[ReceivedEvent] = field(default_factory=list)
    connections: int = 0
    drops: int = 0
    """Connections that the subscriber closed."""
    closed: list[tuple[float, str]] = field(default_factory=list)
    """Connections that the service closed: when, and how."""
    errors: list[str] = field(default_factory=list)
    """Codes of the errors of its subscriptions."""


@dataclass(frozen=True, slots=True)
class PostedReview:
    """One request that added a review: ``status`` is 0 if there was no response."""

    api: str
    ended: float
    status: int
    review: int | None


@dataclass
class Records:
    """All records."""

    subscribers: list[SubscriberRecord] = field(default_factory=list)
    posted: list[PostedReview] = field(default_factory=list)

    @property
    def acknowledged(self) -> dict[int, float]:
        """Return when each review was acknowledged."""
        return {post.review: post.ended for post in self.posted if post.review is not None}

    def count_closed(self) -> Counter[str]:
        """Count how the service closed connections."""
        return Counter(how for one in self.subscribers for _, how in one.closed)
