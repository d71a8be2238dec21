"""The states of a day: what is recorded about it, what changes that, what each command does.

``TABLE`` is the state machine; docs/ads.md shows the same table. Nothing else decides whether a
day is held: the text of a message never does.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from adsfetch.dates import days_before


class Record(StrEnum):
    """What the manifest says about a day; NOTHING is a day that has no line."""

    HELD = "held"
    CLOSED = "closed"
    FAILED = "failed"
    DAMAGED = "damaged"
    UNAVAILABLE = "unavailable"
    NOTHING = "nothing"


class State(StrEnum):
    """What the commands show."""

    FINAL = "final"
    EMPTY = "empty"
    PROVISIONAL = "provisional"
    FAILED = "failed"
    MISSING = "missing"
    UNAVAILABLE = "unavailable"


class Event(StrEnum):
    """What can happen to a day.

    LOST: its file is deleted, unreadable or not the one that was recorded, or its rows are of
    another day, or not those of the source. FOUND: its file is as recorded, or is complete and
    was never recorded. CLOCK: the record is of a date that is still to come, so the clock of that
    run was ahead.
    """

    FETCHED = "fetched"
    FAILED = "failed"
    UNAVAILABLE = "unavailable"
    LOST = "lost"
    FOUND = "found"
    CLOCK = "clock"
    FORGOTTEN = "forgotten"


@dataclass(frozen=True)
class Row:
    """One record in one of the states in which it is shown.

    ``to_fetch``: ``missing`` lists it, and a run fetches it. ``in_aggregate``: all.csv contains
    it. ``after`` is the next record, in the order of Event.
    """

    record: Record
    state: State
    mark: str
    to_fetch: bool
    in_aggregate: bool
    after: tuple[Record, ...]


_HELD, _CLOSED, _FAILED, _DAMAGED, _UNAVAILABLE, _NOTHING = Record
_OF_HELD = (_HELD, _HELD, _CLOSED, _DAMAGED, _HELD, _HELD, _NOTHING)
_OF_CLOSED = (_HELD, _CLOSED, _CLOSED, _DAMAGED, _CLOSED, _HELD, _NOTHING)
_OF_FAILED = (_HELD, _FAILED, _UNAVAILABLE, _FAILED, _HELD, _FAILED, _NOTHING)
_OF_DAMAGED = (_HELD, _FAILED, _UNAVAILABLE, _DAMAGED, _HELD, _DAMAGED, _NOTHING)
_OF_UNAVAILABLE = (_HELD, _UNAVAILABLE, _UNAVAILABLE, _UNAVAILABLE, _HELD, _FAILED, _NOTHING)
_OF_NOTHING = (_HELD, _FAILED, _UNAVAILABLE, _NOTHING, _HELD, _NOTHING, _NOTHING)
_NO, _YES = False, True
TABLE = (
    Row(_HELD, State.FINAL, "#", _NO, _YES, _OF_HELD),
    Row(_HELD, State.EMPTY, "o", _NO, _YES, _OF_HELD),
    Row(_HELD, State.PROVISIONAL, "~", _YES, _YES, _OF_HELD),
    Row(_CLOSED, State.FINAL, "#", _NO, _YES, _OF_CLOSED),
    Row(_CLOSED, State.EMPTY, "o", _NO, _YES, _OF_CLOSED),
    Row(_FAILED, State.FAILED, "x", _YES, _NO, _OF_FAILED),
    Row(_DAMAGED, State.MISSING, ".", _YES, _NO, _OF_DAMAGED),
    Row(_NOTHING, State.MISSING, ".", _YES, _NO, _OF_NOTHING),
    Row(_UNAVAILABLE, State.UNAVAILABLE, "-", _NO, _NO, _OF_UNAVAILABLE),
)

AFTER = {row.record: dict(zip(Event, row.after, strict=True)) for row in TABLE}
MARKS = {row.state: row.mark for row in TABLE}
DONE = frozenset(row.state for row in TABLE if not row.to_fetch)
"""The states in which no run fetches a day and ``missing`` does not list it."""
IN_AGGREGATE = frozenset(row.record for row in TABLE if row.in_aggregate)


@dataclass(frozen=True, slots=True)
class Entry:
    """What is recorded about a day; the fields are the keys of the manifest.

    ``sha256`` is that of its rows as they were fetched, whatever became of the file since. It is
    that of no file if these rows are not those of the source.
    ``fetched_on`` is the account's date when the run started that fetched them, or that was told
    that there are none to fetch. ``changed`` is st_mtime_ns. ``problem`` is for people only.
    """

    day: date
    rows: int = 0
    size: int = 0
    sha256: str = ""
    fetched_on: date = date.min
    changed: int = 0
    record: Record = Record.HELD
    problem: str = ""

    @property
    def is_held(self) -> bool:
        """Return whether the file of the day is complete and as recorded."""
        return self.record in IN_AGGREGATE

    def after(self, event: Event, problem: str = "") -> "Entry":
        """Return the entry after an event, with the reason if the day is not held."""
        record = AFTER[self.record][event]
        if record is self.record and event is not Event.FAILED:
            return self
        return replace(self, record=record, problem="" if record in IN_AGGREGATE else problem)


def state_of(entry: Entry, *, today: date, lookback: int, earliest: date | None) -> State:
    """Return the state of a day for the account's ``today``.

    A day is final when it was fetched at least ``lookback`` days after it, because the numbers
    are restated until then, or when it can no longer be fetched: it is ``CLOSED``, or before
    ``earliest``. What was said of a day before its end is never final, and a day in the future
    is missing, whatever a run whose clock was ahead has recorded.
    """
    if entry.day > today:
        return State.MISSING
    out_of_reach = earliest is not None and entry.day < earliest
    age = (entry.fetched_on - entry.day).days
    if entry.is_held:
        settled = age >= lookback or out_of_reach or entry.record is Record.CLOSED
        if age < 1 or not settled:
            return State.PROVISIONAL
        return State.FINAL if entry.rows else State.EMPTY
    if out_of_reach or (entry.record is Record.UNAVAILABLE and age >= 1):
        return State.UNAVAILABLE
    return State.FAILED if entry.record is Record.FAILED else State.MISSING


def set_clock(entries: Iterable[Entry], today: date) -> dict[date, Entry]:
    """Return the entries by day, without dates that are still to come.

    Runs whose clock was ahead have recorded them. The latest of these runs was today at the
    latest, so all of them were at least as much earlier as its date is ahead. What was said to be
    unavailable is asked for again: the source may have looked at the same clock.
    """
    known = {entry.day: entry for entry in entries}
    ahead = [entry for entry in known.values() if entry.fetched_on > today]
    if not ahead:
        return known
    shift = (max(entry.fetched_on for entry in ahead) - today).days
    return known | {entry.day: _clock_was_ahead(entry, shift) for entry in ahead}


def _clock_was_ahead(entry: Entry, days: int) -> Entry:
    moved = entry.after(Event.CLOCK, "the clock was ahead when it was said to be unavailable")
    fetched_on = days_before(entry.fetched_on, days)
    if moved.record is not entry.record:  # when its rows were fetched is not known
        fetched_on = min(entry.day, fetched_on)
    return replace(moved, fetched_on=fetched_on)
