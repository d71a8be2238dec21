"""The states of each row, and until when a read may still show one of them.

A state may be shown from its change on (the transaction commits later than that), until a write
that came after it was acknowledged. All times are of ``time.monotonic``. Those that come from the
clock of the database are only as exact as CLOCK_ERROR.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import NamedTuple

from stress.consistency.history import Change, Values, monotonic_time

CLOCK_ERROR = 0.01
"""Seconds; SQLite counts milliseconds, and its clock is not that of ``time.monotonic``."""
SHOWN_STATES = 4
Resource = tuple[str, int]
"""A table and an id."""


class Span(NamedTuple):
    """When a response may have read a state, and the clock by which holds expire."""

    since: float
    until: float
    """The end of the state, or of the response."""
    ended: float
    """The end of the response: the clock is read after the state."""


Condition = Callable[[Values, Span], float | None]
"""Returns the last time in a span at which a state is what a response shows; else None."""
NOTHING: Values = {}


class Fact(NamedTuple):
    """What a response shows about one row."""

    table: str
    row: int
    condition: Condition


def where(is_shown: Callable[[Values], object]) -> Condition:
    """Return the condition that the columns of a row are what ``is_shown`` says."""
    return lambda values, span: span.until if is_shown(values) else None


def shows(fields: Values) -> Condition:
    """Return the condition that a row exists and has these values."""
    items = tuple(fields.items())

    def condition(values: Values, span: Span) -> float | None:
        equal = bool(values) and all(values[name] == value for name, value in items)
        return span.until if equal else None

    return condition


def is_absent(values: Values) -> bool:
    """Return whether there is no such row."""
    return not values


class Timeline:
    """The states of one row, oldest first; the first is that it does not exist."""

    def __init__(self) -> None:
        self._starts = [-inf]
        self._ends = [inf]
        self._values: list[Values] = [NOTHING]
        self._transaction: int | None = None

    def add(self, change: Change, values: Values, acknowledged: float) -> None:
        """Append the state after a change; one transaction produces one state."""
        if change.transaction == self._transaction:
            self._values[-1] = values
            self._starts[-1] = change.at - CLOCK_ERROR
            return
        self._transaction = change.transaction
        self._ends[-1] = acknowledged
        self._starts.append(change.at - CLOCK_ERROR)
        self._ends.append(inf)
        self._values.append(values)

    def complete(self) -> None:
        """End every state that a write replaced before a later one was acknowledged."""
        for index in range(len(self._ends) - 2, -1, -1):
            self._ends[index] = min(self._ends[index], self._ends[index + 1])

    def seconds_late(
        self, condition: Condition, began: float, ended: float, decided: float = inf
    ) -> float:
        """Return how long before a request the state ended that its response shows.

        Infinite if it never was. A write may have decided at any time since ``decided`` what it
        shows of the state that it produced later.
        """
        for index in range(bisect_right(self._starts, ended) - 1, -1, -1):
            since, until = min(self._starts[index], decided), min(self._ends[index], ended)
            last = condition(self._values[index], Span(since, until, ended))
            if last is not None:
                return max(0.0, began - last)
        return inf

    def latest(self, began: float, ended: float) -> list[str]:
        """Describe the last states until ``ended``, with times relative to ``began``."""
        last = bisect_right(self._starts, ended)
        return [
            f"{self._starts[n] - began:.3f}..{self._ends[n] - began:.3f}: {self._values[n]}"
            for n in range(max(0, last - SHOWN_STATES), last)
        ]

    def is_over(self, began: float) -> bool:
        """Return whether the row was deleted before a read began."""
        return not self._values[-1] and len(self._ends) > 1 and self._ends[-2] < began


class Timelines:
    """The timelines of all rows that changed."""

    def __init__(self, changes: Iterable[Change], acknowledged: Mapping[int, float]) -> None:
        self.of: dict[Resource, Timeline] = {}
        self._rows: dict[Resource, Values] = {}
        self._holds: dict[int, dict[int, Values]] = {}
        self._by_table: dict[str, dict[int, Timeline]] = {}
        for change in changes:
            self._add(change, acknowledged.get(change.transaction, inf))
        for (table, row), timeline in self.of.items():
            timeline.complete()
            self._by_table.setdefault(table, {})[row] = timeline

    def rows(self, table: str) -> Iterator[tuple[int, Timeline]]:
        """Yield the timelines of a table by id."""
        yield from self._by_table.get(table, {}).items()

    def _add(self, change: Change, acknowledged: float) -> None:
        values, resource = change.values, (change.table, change.row)
        if change.table == "product":
            values = with_holds(values, list(self._holds.get(change.row, {}).values()))
        self._timeline(resource).add(change, values, acknowledged)
        before, self._rows[resource] = self._rows.get(resource, NOTHING), values
        if change.table == "hold":
            self._add_hold(change, before or values, acknowledged)

    def _add_hold(self, change: Change, known: Values, acknowledged: float) -> None:
        product = int(known["product_id"])
        holds = self._holds.setdefault(product, {})
        holds.pop(change.row, None)
        if change.values.get("state") == "held":
            holds[change.row] = change.values
        resource = "product", product
        values = with_holds(self._rows[resource], list(holds.values()))
        self._rows[resource] = values
        self._timeline(resource).add(change, values, acknowledged)

    def _timeline(self, resource: Resource) -> Timeline:
        return self.of.setdefault(resource, Timeline())


def with_holds(product: Values, holds: Sequence[Values]) -> Values:
    """Add to a product when its holds expire, and how many units each has."""
    expiries = sorted((monotonic_time(hold["expires_at"]), hold["quantity"]) for hold in holds)
    return {**product, "holds": expiries} if product else product
