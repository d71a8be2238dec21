"""What clients record of their requests, in the process that checks them."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from stress.consistency.history import Values
from stress.consistency.lists import Listing
from stress.consistency.timelines import Fact
from stress.http_client import Response

SUCCESS = frozenset({200, 201, 204})
EXPECTED_STATUSES = SUCCESS | {304, 404, 409, 412}
"""A response with one of them shows a state that has to be checked."""
DRY_RUN = "bulk, dry run"
"""The kind of a write that is rejected, though its status is 200."""


@dataclass(frozen=True, slots=True)
class Read:
    """The response to a read, and what it shows."""

    response: Response
    kind: str
    facts: Sequence[Fact] = ()
    listing: Listing | None = None
    consistent: bool = True
    """Whether the parts of the response agree."""

    @property
    def began(self) -> float:
        """Return when the request was sent."""
        return self.response.began


@dataclass(frozen=True, slots=True)
class Effect:
    """A row as a write leaves it."""

    table: str
    values: Values
    """Some of its columns. No other write gives its row the same, or else ``row`` is known and they
    contain its version. Empty if the row is deleted."""
    row: int | None = None
    required: bool = True
    """Whether a write that succeeds has it."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write; its outcome is unknown if the connection broke and ``response`` is None."""

    kind: str
    response: Response | None
    effects: Sequence[Effect]
    """What is in the database if the write succeeded, and only then."""
    facts: Sequence[Fact] = ()
    """What the response shows, such as why the write was rejected."""

    @property
    def acknowledged(self) -> bool:
        """Return whether the service responded that the write succeeded."""
        is_success = self.response is not None and self.response.status in SUCCESS
        return is_success and self.kind != DRY_RUN


@dataclass
class Records:
    """All recorded requests."""

    reads: list[Read] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    broken: list[float] = field(default_factory=list)
    """The times of the requests whose connection broke."""
