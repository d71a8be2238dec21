"""Compare the log with every change of a row, as triggers of the database have recorded them.

So each committed write has its events exactly once, in the order of the changes of its thing, and
each event shows the thing as that change left it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from stress.consistency.history import Change, Values
from stress.consistency.invariants import transactions
from stress.subscriptions.records import Shown

Thing = tuple[str, int]
"""The table and the id of a row."""
COLUMNS = {
    "book": ("title", "author", "isbn", "published_year"),
    "review": ("book_id", "rating", "reviewer", "text"),
    "product": ("sku", "name", "price"),
    "hold": (),
}
"""A change of one of them is an event; what derives from other things is none."""
DERIVED = frozenset({"review_count", "average_rating", "stars", "available"})
"""What the last event of a thing need not show as its route does."""
ADJUSTMENT = frozenset({"delta", "reason"})
"""What only events of the stock show."""


class Expected(NamedTuple):
    """An event that a change has to have."""

    type: str
    values: Values
    """What its data shows, of the names that they have in common."""


def thing_of(event: Shown) -> Thing:
    """Return what an event is about."""
    table = event["type"].partition(".")[0]
    return "product" if table == "stock" else table, event["data"]["id"]


def disagreements(events: Sequence[Shown], changes: Sequence[Change]) -> Iterator[str]:
    """Describe each thing whose events are not those of its changes."""
    logged: dict[Thing, list[Shown]] = defaultdict(list)
    for event in events:
        logged[thing_of(event)].append(event)
    expected: dict[Thing, list[Expected]] = defaultdict(list)
    for thing, wanted in expected_events(changes):
        expected[thing].append(wanted)
    for thing in sorted(logged.keys() | expected.keys()):
        pairs = zip_longest(logged[thing], expected[thing])
        wrong = [(have, want) for have, want in pairs if not _agree(have, want)]
        if wrong:
            yield f"{thing}: {len(wrong)} events, the first is {wrong[0][0]}, not {wrong[0][1]}"


def _agree(have: Shown | None, want: Expected | None) -> bool:
    if have is None or want is None or have["type"] != want.type:
        return False
    data = have["data"]
    return all(data[name] == want.values[name] for name in data.keys() & want.values.keys())


def expected_events(changes: Sequence[Change]) -> Iterator[tuple[Thing, Expected]]:
    """Yield the events that changes have to have, those of one thing in their order."""
    rows: dict[Thing, Values] = {}
    for transaction in transactions(changes):
        after = {(change.table, change.row): change.values for change in transaction}
        for thing, values in after.items():
            before = rows.get(thing, {})
            for what in _changes_of(thing[0], before, values):
                yield thing, Expected(f"{thing[0]}.{what}", values or before)
        for (table, _), values in after.items():
            product = "product", values.get("product_id", 0)
            # The first stock of a product belongs to its creation.
            if table == "stock_adjustment" and product in rows:
                shown = {**after[product], **{name: values[name] for name in ADJUSTMENT}}
                yield product, Expected("stock.changed", shown)
        rows |= after


def _changes_of(table: str, before: Values, after: Values) -> Iterator[str]:
    if table not in COLUMNS:
        return
    changed = any(before.get(name) != after.get(name) for name in COLUMNS[table])
    if not before:
        yield "created"
    elif not after:
        yield "deleted"
    elif table == "hold":
        if before["state"] != after["state"]:
            yield after["state"]
    elif table == "review" and before["hidden"] != after["hidden"]:
        yield "hidden" if after["hidden"] else "shown"
    elif changed and not after.get("hidden"):
        yield "changed"
    if before and after and before.get("archived") != after.get("archived"):
        yield "archived" if after["archived"] else "restored"


def differences(
    events: Sequence[Shown], get_thing: Callable[[str, int], Mapping[str, Any] | None]
) -> Iterator[str]:
    """Describe each thing that its route does not show as its last event does.

    ``get_thing`` returns what the route shows of a thing, or None for a 404.
    """
    for thing, event in {thing_of(event): event for event in events}.items():
        shown = get_thing(*thing)
        is_gone = event["type"].endswith(("deleted", "hidden"))
        if is_gone or shown is None:
            if is_gone is not (shown is None):
                yield f"{thing}: {event['type']}, but {shown}"
            continue
        names = (event["data"].keys() | shown.keys()) - DERIVED
        if event["type"] == "stock.changed":
            names -= ADJUSTMENT
        wrong = {name for name in names if event["data"].get(name) != shown.get(name)}
        if wrong and not (wrong == {"state"} and shown["state"] == "expired"):
            yield f"{thing}: {sorted(wrong)} of {event}, but {shown}"
