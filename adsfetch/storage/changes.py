"""What fetching again has altered: a line for each held day that was replaced by other rows."""

import csv
import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from adsfetch.storage import atomic
from adsfetch.storage.staging import StagedDay
from adsfetch.storage.states import Entry
from adsfetch.storage.sums import Sums, sums_of_file, text_of_number

MAX_BYTES = 2 * 2**20
"""Beyond this size the older half of the file is deleted; a line has some hundred bytes."""
CAUGHT = Decimal("0.999")
ROWS = "rows"


@dataclass(frozen=True)
class Change:
    """A day that was replaced on the account's date ``when``: its sums before and after.

    One of the sums is that of the rows, their number.
    """

    day: date
    when: date
    sums: dict[str, tuple[Decimal, Decimal]]

    @property
    def age(self) -> int:
        """Return how many days old the day was."""
        return (self.when - self.day).days


@dataclass
class Alteration:
    """How much of one sum was altered: ``by_age`` has the absolute differences by age in days.

    ``net`` is the sum of the differences with their signs.
    """

    net: Decimal = Decimal()
    by_age: dict[int, Decimal] = field(default_factory=dict)

    def add(self, age: int, before: Decimal, after: Decimal) -> None:
        self.net += after - before
        self.by_age[age] = self.by_age.get(age, Decimal()) + abs(after - before)

    @property
    def total(self) -> Decimal:
        return sum(self.by_age.values(), Decimal())

    @property
    def lookback(self) -> int:
        """Return the lowest age by which 99.9 % of the total had been seen; 0 if it is nothing."""
        total, seen = self.total, Decimal()
        for age in sorted(self.by_age) if total else ():
            seen += self.by_age[age]
            if seen >= CAUGHT * total:
                return age
        return 0


def alterations(changes: Iterable[Change]) -> dict[str, Alteration]:
    """Return how much was altered by all changes together, for each sum by its name."""
    found: dict[str, Alteration] = {}
    for change in changes:
        for name, (before, after) in change.sums.items():
            found.setdefault(name, Alteration()).add(change.age, before, after)
    return found


def change_of(entry: Entry, path: Path, staged: StagedDay, today: date) -> Change | None:
    """Return how a staged day differs from the held one that it is about to replace.

    None if it is the same, or none was held. Rows that were fetched during their day were not
    complete, so what replaces them is no alteration. Nor can a file be compared that is damaged.
    """
    same = entry.sha256 == staged.sha256 or entry.rows == staged.rows == 0
    if same or not entry.is_held or entry.fetched_on <= entry.day:
        return None
    with suppress(OSError, csv.Error, ValueError):
        pair = sums_of_file(path), sums_of_file(staged.path)
        return Change(entry.day, today, differences(*pair))
    return None


def differences(before: Sums, after: Sums) -> dict[str, tuple[Decimal, Decimal]]:
    """Return the sums that both have; a column that is blank in one of them is no alteration."""
    found = {ROWS: (Decimal(before.rows), Decimal(after.rows))}
    for name in dict.fromkeys([*before.numbers, *after.numbers]):
        old, new = before.number(name), after.number(name)
        if old is not None and new is not None:
            found[name] = old, new
    return found


def append(path: Path, change: Change) -> None:
    """Add a change, and return after it has reached the disk; keep the file below its bound."""
    sums = {name: list(map(text_of_number, pair)) for name, pair in change.sums.items()}
    line = {"day": change.day, "when": change.when, "age": change.age, "sums": sums}
    atomic.append_line(path, json.dumps(line, default=str).encode() + b"\n")
    with atomic.disk_errors(path):
        size = path.stat().st_size
    if size > MAX_BYTES:
        content = atomic.read_file(path)
        atomic.write_file(path, content[content.index(b"\n", size // 2) + 1 :])


def load(path: Path) -> list[Change]:
    """Return the changes in a file, oldest first; incomplete and corrupt lines are ignored."""
    lines = atomic.read_file(path).decode("utf-8", "replace").split("\n")
    return [change for line in lines if (change := parse_line(line))]


def parse_line(line: str) -> Change | None:
    """Return the change of a line, or None for an incomplete or corrupt line."""
    try:
        values: dict[str, Any] = json.loads(line)
        day, when = date.fromisoformat(values["day"]), date.fromisoformat(values["when"])
        pairs = values["sums"].items()
        sums = {name: (Decimal(before), Decimal(after)) for name, (before, after) in pairs}
    except (ArithmeticError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return None
    return Change(day, when, sums)
