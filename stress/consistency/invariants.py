"""What has to hold after each transaction, whoever wrote it: the changes are replayed in order."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from stress.consistency.history import Change, Values, monotonic_time
from stress.consistency.timelines import CLOCK_ERROR, Resource

PARENTS = {"review": "book", "stock_adjustment": "product", "hold": "product"}


def violations(changes: Iterable[Change]) -> Iterator[str]:
    """Describe each transaction that left a book or a product in disorder."""
    replay = Replay()
    for transaction in transactions(changes):
        yield from replay.apply(transaction)


def transactions(changes: Iterable[Change]) -> Iterator[list[Change]]:
    """Yield the changes of each transaction, in the order in which the transactions ended."""
    numbered = list(enumerate(changes))
    ends = {change.transaction: number for number, change in numbered}
    in_order = sorted(numbered, key=lambda one: (ends[one[1].transaction], one[0]))
    for _, group in groupby(in_order, key=lambda one: one[1].transaction):
        yield [change for _, change in group]


class Replay:
    """The rows after the transactions until now."""

    def __init__(self) -> None:
        self._rows: dict[Resource, Values] = {}
        self._ratings: dict[int, Counter[int]] = {}
        self._sums: Counter[int] = Counter()
        self._holds: dict[int, dict[int, Values]] = {}

    def apply(self, transaction: Sequence[Change]) -> Iterator[str]:
        """Apply the changes of a transaction, and describe what is wrong afterwards."""
        parents: dict[Resource, Values] = {}
        for change in transaction:
            resource = change.table, change.row
            before = self._rows.get(resource, {})
            known = change.values or before
            if change.table in PARENTS:
                parent = PARENTS[change.table]
                resource = parent, known[f"{parent}_id"]
            parents.setdefault(resource, self._rows.get(resource, {}))
            self._count(change, before)
            self._rows[change.table, change.row] = change.values
            if change.table == "hold":
                yield from _wrong_transition(change, before)
        for (table, row), before in parents.items():
            if values := self._rows.get((table, row)):
                check = self._wrong_book if table == "book" else self._wrong_product
                at = transaction[-1].at
                yield from (f"{table} {row}: {what}" for what in check(values, before, at))

    def _count(self, change: Change, before: Values) -> None:
        values = change.values
        if change.table == "review":
            ratings = self._ratings.setdefault((values or before)["book_id"], Counter())
            for row, sign in ((before, -1), (values, 1)):
                if row and not row.get("hidden"):
                    ratings[row["rating"]] += sign
        elif change.table == "stock_adjustment":
            self._sums[values["product_id"]] += values["delta"]
        elif change.table == "hold":
            holds = self._holds.setdefault((values or before)["product_id"], {})
            holds[change.row] = values

    def _wrong_book(self, book: Values, before: Values, _: float) -> Iterator[str]:
        ratings = self._ratings.get(book["id"], Counter())
        stars = {str(rating): ratings[rating] for rating in range(1, 6)}
        total = sum(rating * number for rating, number in ratings.items())
        shown = book["stars"], book["review_count"], book["rating_sum"]
        if shown != (stars, ratings.total(), total):
            yield f"stars, review_count and rating_sum are {shown}, its reviews have {stars}"
        if before and book != before and book["version"] <= before["version"]:
            yield f"it changed without a new version {book['version']}"

    def _wrong_product(self, product: Values, before: Values, at: float) -> Iterator[str]:
        level, total = product["stock_level"], self._sums[product["id"]]
        if level != total:
            yield f"its level is {level}, its ledger sums to {total}"
        live = [
            hold
            for hold in self._holds.get(product["id"], {}).values()
            if hold.get("state") == "held" and monotonic_time(hold["expires_at"]) > at + CLOCK_ERROR
        ]
        held = sum(hold["quantity"] for hold in live)
        if held > level:
            yield f"{held} units are held of {level}"
        if before and product != before and product["version"] <= before["version"]:
            yield f"it changed without a new version {product['version']}"


def _wrong_transition(change: Change, before: Values) -> Iterator[str]:
    state, was = change.values.get("state"), before.get("state", "held")
    if was != "held" or state is None:
        yield f"hold {change.row} was {was} and became {state or 'deleted'}"
