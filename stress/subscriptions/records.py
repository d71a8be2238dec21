"""What subscribers and writers note, in the process that judges them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Seen(NamedTuple):
    """An event that has reached a subscriber."""

    log: str
    position: int
    review: int
    book: int
    at: float
    connected: float
    """When the connection that brought it had been made."""


@dataclass
class Account:
    """What one subscriber has seen, in its order, over all of its connections."""

    kind: str
    """``ws`` or ``sse``."""
    book: int | None
    """None for all books."""
    asks: bool
    """It begins at the query ``eventCursor``; the others begin at the first event they see."""
    start: int | None = None
    """The position of that cursor."""
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    drops: int = 0
    ended: list[tuple[float, str]] = field(default_factory=list)
    """Connections that ended from the other side: when, and how."""
    errors: list[str] = field(default_factory=list)
    """Codes of the errors that a subscription was answered with."""

    @property
    def ends(self) -> Counter[str]:
        """Count how connections ended."""
        return Counter(how for _, how in self.ended)


@dataclass(frozen=True, slots=True)
class Posted:
    """One review that was posted: ``review`` is None if no answer came."""

    how: str
    began: float
    ended: float
    status: int
    review: int | None


@dataclass
class Records:
    """All that was noted."""

    accounts: list[Account] = field(default_factory=list)
    posted: list[Posted] = field(default_factory=list)

    @property
    def acknowledged(self) -> dict[int, float]:
        """Return the reviews that the service has said are written, and when it said so."""
        return {post.review: post.ended for post in self.posted if post.review is not None}
