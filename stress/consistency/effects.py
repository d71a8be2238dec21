"""Which transaction each write was, and so which writes are lost, repeated or not asked for."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

from stress.consistency.history import Change
from stress.consistency.records import EXPECTED_STATUSES, Effect, Write

TOKENS = {
    "book": ("title",),
    "review": ("text",),
    "product": ("sku", "price"),
    "stock_adjustment": ("reason",),
    "hold": ("reason",),
}
"""Columns to which no two writes give the same value."""
REPEATABLE = frozenset({"moderation", "archived", "hold committed", "hold released"})
"""Writes that succeed, and change nothing, where another one has had the same effect."""


class Effects:
    """The transactions of all writes."""

    def __init__(self, changes: Sequence[Change], writes: Sequence[Write]) -> None:
        self.acknowledged: dict[int, float] = {}
        """When each transaction was acknowledged first, by its number."""
        self.lost: list[str] = []
        """Acknowledged writes that are not in the database as they were acknowledged."""
        self.inconsistent: list[str] = []
        self._index: dict[Any, list[Change]] = defaultdict(list)
        for change in changes:
            for key in _keys(change):
                self._index[key].append(change)
        self._writes: dict[int, list[Write]] = {change.transaction: [] for change in changes}
        for write in writes:
            for effect in write.effects:
                self._match(write, effect)
        self.inconsistent.extend(self._repeated())

    def _match(self, write: Write, effect: Effect) -> None:
        found = self._find(effect)
        if write.acknowledged and write.response is not None:
            if not found and effect.required:
                self.lost.append(f"{write.kind} {effect}")
            for transaction in found:
                earliest = min(self.acknowledged.get(transaction, inf), write.response.ended)
                self.acknowledged[transaction] = earliest
        elif found and write.response and write.response.status in EXPECTED_STATUSES:
            if _token(effect):
                self.inconsistent.append(f"rejected, but stored: {write.kind} {effect}")
            return
        for transaction in found:
            self._writes[transaction].append(write)

    def _find(self, effect: Effect) -> list[int]:
        """Return the transactions that had this effect: one, if something identifies it."""
        version, token = effect.values.get("version"), _token(effect)
        if version is not None:
            found = self._index[effect.table, effect.row, version]
        else:
            found = self._index[token or (effect.table, effect.row)]
        matching = [change.transaction for change in found if _has_effect(change, effect)]
        # Later changes leave a token as it is.
        return matching[:1] if version is not None or token else matching

    def _repeated(self) -> Iterator[str]:
        for transaction, writes in self._writes.items():
            done = [one for one in writes if one.acknowledged and one.kind not in REPEATABLE]
            if len({id(one) for one in done}) > 1:
                effects = [one.effects for one in done]
                yield f"transaction {transaction} is the only one of {effects}"
            if not writes:
                yield f"transaction {transaction} is that of no write"


def _keys(change: Change) -> Iterator[Any]:
    yield change.table, change.row
    if "version" in change.values:
        yield change.table, change.row, change.values["version"]
    for name in TOKENS[change.table]:
        if name in change.values:
            yield change.table, name, change.values[name]


def _token(effect: Effect) -> tuple[str, str, Any] | None:
    for name in TOKENS[effect.table]:
        if name in effect.values:
            return effect.table, name, effect.values[name]
    return None


def _has_effect(change: Change, effect: Effect) -> bool:
    if effect.row is not None and effect.row != change.row:
        return False
    if not effect.values or not change.values:
        return not effect.values and not change.values
    return all(change.values[name] == value for name, value in effect.values.items())
