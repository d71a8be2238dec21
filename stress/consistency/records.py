"""What clients record of their requests, in the process that checks them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stress.http_client import Response

Resource = tuple[str, int]
"""A kind and an id. The value of a ``product`` is its version, of ``ledger`` and ``reviews`` the id
of the newest row, of a ``book`` the number of its reviews. All these values only grow."""
Timestamp = tuple[int, str]
"""A product and its ``updated_at``: lists of products do not show the version."""


@dataclass(frozen=True, slots=True)
class Read:
    """The response to a read, and what it showed."""

    response: Response
    kind: str
    shown: Mapping[Resource, int]
    timestamps: tuple[Timestamp, ...] = ()
    consistent: bool = True
    """Whether the parts of the response agree."""

    @property
    def began(self) -> float:
        """Return when the request was sent."""
        return self.response.began


@dataclass(frozen=True, slots=True)
class Write:
    """One write; its outcome is unknown if the connection broke and ``response`` is None."""

    kind: str
    id: int
    token: str
    """A text or a price that no other write has."""
    response: Response | None
    body: Mapping[str, Any]

    @property
    def acknowledged(self) -> bool:
        """Return whether the service responded that the write succeeded."""
        return self.response is not None and self.response.status in {200, 201}


@dataclass
class Records:
    """All recorded requests."""

    reads: list[Read] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    broken: list[float] = field(default_factory=list)
    """The times of the requests whose connection broke."""
