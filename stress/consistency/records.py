"""What clients note of their requests, in the process that judges them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stress.caller import Reply

Thing = tuple[str, int]
"""``product`` (a version), ``ledger`` and ``reviews`` (the id of the newest row), ``book`` (a
number of reviews), each with an id. All these values only grow."""
Moment = tuple[int, str]
"""A product and its ``updated_at``, where a list does not tell the version."""


@dataclass(frozen=True, slots=True)
class Read:
    """One answer to a read, and what it showed."""

    reply: Reply
    kind: str
    shown: Mapping[Thing, int]
    moments: tuple[Moment, ...] = ()
    torn: bool = False

    @property
    def began(self) -> float:
        """Return when it was asked for."""
        return self.reply.began


@dataclass(frozen=True, slots=True)
class Write:
    """One write: ``reply`` is None if the connection broke, and nobody knows what became of it."""

    kind: str
    thing: int
    token: str
    reply: Reply | None
    body: Mapping[str, Any]

    @property
    def acknowledged(self) -> bool:
        """Tell whether the service has said that it is done."""
        return self.reply is not None and self.reply.status in {200, 201}


@dataclass
class Records:
    """All that was noted."""

    reads: list[Read] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    broken: list[float] = field(default_factory=list)
    """When connections broke."""
