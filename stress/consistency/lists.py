"""What a page of a list shows, also of the rows that are not in it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import total_ordering
from itertools import pairwise
from typing import Any

import orjson

from stress.consistency.history import Values
from stress.consistency.timelines import Condition, Fact, Span, Timelines, where
from stress.http_client import Response

Key = Callable[[Values], Any]


@total_ordering
class Descending:
    """A value that is sorted in descending order."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self.value == other.value)

    def __lt__(self, other: "Descending") -> bool:
        return bool(other.value < self.value)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True)
class ListQuery:
    """Which rows are in a list, and in which order."""

    table: str
    selects: Callable[[Values], object]
    key: Key
    """Unique for each row."""


@dataclass(frozen=True, slots=True)
class Listing:
    """A page: of all rows in a part of the list it shows exactly these."""

    query: ListQuery
    shown: frozenset[int]
    after: Any
    """The key of the last row of the page before; None for the first page."""
    last: Any
    """The key of the last row of this page; None if it is the last page."""

    def absences(self, timelines: Timelines, began: float) -> Iterator[Fact]:
        """Yield what the page shows about each row that is not in it."""
        condition = where(self._may_be_absent)
        for row, timeline in timelines.rows(self.query.table):
            if row not in self.shown and not timeline.is_over(began):
                yield Fact(self.query.table, row, condition)

    def _may_be_absent(self, values: Values) -> bool:
        if not values or not self.query.selects(values):
            return True
        key = self.query.key(values)
        is_before = self.after is not None and key <= self.after
        return is_before or (self.last is not None and self.last < key)


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed page of a list."""

    items: Sequence[Values]
    facts: Sequence[Fact]
    listing: Listing
    consistent: bool
    next_cursor: str | None
    total: int | None


def read_page(
    response: Response,
    query: ListQuery,
    show: Callable[[Values], Condition],
    after: Any = None,
) -> Page:
    """Parse a page that begins after the key ``after``; ``show`` says what an item shows."""
    body = orjson.loads(response.body)
    items, cursor = body["items"], body["next_cursor"]
    keys = [query.key(item) for item in items]
    ordered = all(first < second for first, second in pairwise(keys))
    if after is not None and keys:
        ordered = ordered and after < keys[0]
    facts = [Fact(query.table, item["id"], _selected(query, show(item))) for item in items]
    last = keys[-1] if keys and cursor else None
    listing = Listing(query, frozenset(item["id"] for item in items), after, last)
    return Page(items, facts, listing, ordered, cursor, body.get("total"))


def _selected(query: ListQuery, condition: Condition) -> Condition:
    """Add that the row was in the list when it was what it is shown as."""

    def selected(values: Values, span: Span) -> float | None:
        last = condition(values, span)
        return last if last is not None and query.selects(values) else None

    return selected
