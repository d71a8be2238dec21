"""Faults that are planted on purpose, to prove that the state machine finds them."""

from collections.abc import Iterable
from datetime import date
from typing import Any

from adsfetch.storage import states
from adsfetch.storage.row_dates import RowDates
from adsfetch.storage.states import Entry
from adsfetch.storage.store import Store

held_entries = Store.held_entries
state_of = states.state_of


def record_failure_as_empty(store: Store, day: date, _reason: str) -> None:
    """Store a failed day as one that has no rows."""
    store.commit(store.staging().write(day, ()))


def trust_dates_to_come(entries: Iterable[Entry], _today: date) -> dict[date, Entry]:
    """Believe a run whose clock was ahead."""
    return {entry.day: entry for entry in entries}


def hold_days_to_come(entry: Entry, **more: Any) -> states.State:
    """Show rows of days that are still to come."""
    return state_of(entry, **{**more, "today": date.max})


def hold_a_day_twice(store: Store) -> list[Entry]:
    """Hold the newest day twice."""
    entries = held_entries(store)
    return entries + entries[-1:]


BROKEN: dict[str, tuple[Any, str, Any]] = {
    "failure recorded as empty": (Store, "record_failure", record_failure_as_empty),
    "future day final": (states, "set_clock", trust_dates_to_come),
    "future day held": (states, "state_of", hold_days_to_come),
    "day held twice": (Store, "held_entries", hold_a_day_twice),
    "rows of another day held": (RowDates, "problem", ""),
}
