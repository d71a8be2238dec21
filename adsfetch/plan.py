"""The plan of a run: the wanted range, and which of its days must be fetched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from shlex import quote

from adsfetch.dates import check_range, days_before, days_between, parse_range, years_before
from adsfetch.errors import UsageError
from adsfetch.storage.dataset import Dataset
from adsfetch.storage.states import DONE, State
from adsfetch.storage.store import Store


@dataclass(frozen=True)
class Plan:
    """The wanted range, both ends included, and the days in it that must be fetched.

    ``held`` is the number of days that are final, with or without rows. ``dataset`` is the
    description of the dataset after the run: this range is requested too. ``warnings`` say what
    is wrong, ``notes`` what is worth knowing.
    """

    first: date
    last: date
    days: list[date]
    dataset: Dataset
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    held: int = 0
    today: date = date.max


@dataclass(frozen=True)
class WantedRange:
    """The range that a command wants, as a function of the store and the account's today.

    ``daily``: the range ends today and is filled by itself. So only its last days count as
    requested, and a day in it that can no longer be fetched is no error.
    """

    range: Callable[[Store, date], tuple[date, date]]
    daily: bool = False


def between(start: str, end: str | None) -> WantedRange:
    """Return the range that the user wrote; "yesterday" is the account's."""
    return WantedRange(lambda _store, today: parse_range(start, end, today))


def last_years(years: float) -> WantedRange:
    """Return this number of whole years up to yesterday."""

    def span(_store: Store, today: date) -> tuple[date, date]:
        yesterday = today - timedelta(1)
        return years_before(yesterday, years), yesterday

    return WantedRange(span)


def daily() -> WantedRange:
    """Return the range from the first day ever requested, or at least the lookback, to today."""

    def span(store: Store, today: date) -> tuple[date, date]:
        oldest = min([*filter(None, [store.dataset.wanted_from]), *store.entries], default=today)
        if oldest > today:
            raise UsageError(
                f"the dataset starts on {oldest}, but for the account it is {today}: "
                "is the clock behind?"
            )
        return min(oldest, lookback_start(store, today)), today

    return WantedRange(span, daily=True)


def lookback_start(store: Store, today: date) -> date:
    """Return the first day of the lookback."""
    return days_before(today, store.dataset.lookback)


def make_plan(store: Store, wanted: WantedRange, *, refetch: bool = False) -> Plan:
    """Return the days to fetch; days in the future are left out, with a note.

    ``refetch``: also those that are final.
    """
    today, earliest = store.today, store.earliest or date.min
    first, last = wanted.range(store, today)
    check_range(first, last)
    if first > today:
        raise UsageError(f"{first} is in the future: for the account it is {today}")
    notes = [f"{last} is in the future: fetching up to today, {today}"] if last > today else []
    last = min(last, today)
    states = {day: store.state(day) for day in days_between(first, last)}
    unavailable = [day for day, state in states.items() if state is State.UNAVAILABLE]
    notes += notes_on_unavailable(store, wanted, unavailable)
    notes += notes_on_gap(store, wanted, first, last)
    done = {State.UNAVAILABLE} if refetch else DONE
    days = [day for day, state in states.items() if state not in done and day >= earliest]
    held = sum(state in (State.FINAL, State.EMPTY) for state in states.values())
    dataset, warnings = requested(store, wanted, first, last), tuple(notes_on_clock(store))
    return Plan(first, last, days, dataset, tuple(notes), warnings, held, today)


def requested(store: Store, wanted: WantedRange, first: date, last: date) -> Dataset:
    """Return the description of the dataset when this range is requested too."""
    if not wanted.daily:
        return store.dataset.with_range(first, last)
    first = max(first, lookback_start(store, last))
    return replace(store.dataset.with_range(first, last), daily=True)


def notes_on_unavailable(store: Store, wanted: WantedRange, unavailable: list[date]) -> list[str]:
    """Return what to say about the unavailable days in the range.

    Raise UsageError if a command names days that are too old for the source. They are skipped with
    a note if an ``earliest_days`` says that this is meant, and in the daily run, which a gap that
    can no longer be filled must not fail every day.
    """
    notes, earliest = [], store.earliest or date.min
    too_old = sum(day < earliest for day in unavailable)
    if too_old and not wanted.daily and store.dataset.earliest_days is None:
        raise UsageError(f"daily reports are not available for days before {earliest}")
    if too_old:
        notes.append(f"{too_old} missing days before {earliest} are no longer available")
    if len(unavailable) > too_old and not wanted.daily:
        notes.append(f"{len(unavailable) - too_old} days are unavailable, says the source")
    return notes


def notes_on_clock(store: Store) -> list[str]:
    """Return what to say about runs whose clock was ahead, if there were some."""
    notes, to_come = [], store.days_to_come()
    if store.clock_was_at:
        notes.append(
            f"a run recorded {store.clock_was_at} as its date, but for the account it is "
            f"{store.today}: what it fetched is checked again"
        )
    if to_come:
        notes.append(
            f"{len(to_come)} days after today, {store.today}, are left out; if the clock is "
            f"right, this deletes them: {forget_command(store, to_come[0], to_come[-1])}"
        )
    return notes


def notes_on_gap(store: Store, wanted: WantedRange, first: date, last: date) -> list[str]:
    """Return what to say about a range that makes the daily run fill a gap after it."""
    before = store.dataset.wanted_from
    if wanted.daily or before is None or (before - last).days <= 1:
        return []
    gap = days_between(last + timedelta(1), before - timedelta(1))
    number = sum(store.state(day) not in DONE for day in gap)
    if not number:
        return []
    return [
        f"update will now want {number} more days, from {gap[0]} to {gap[-1]}; a range that is "
        "wanted alone needs an --out of its own; this takes it back: "
        f"{forget_command(store, first, last)}"
    ]


def forget_command(store: Store, first: date, last: date) -> str:
    """Return the command that forgets a range, ready to be copied."""
    out, name = quote(str(store.folder.parent)), quote(store.folder.name)
    return f"adsfetch forget {first} {last} --out {out} --dataset {name}"


def forecast(plans: Sequence[Plan], limit: int, left: int) -> list[int]:
    """Return the operations of each day from today on, until all days of the plans are fetched.

    The days in the lookback are asked for on each day, and first. The list ends with 0 if the
    limit of a day is not more than that: it is never complete.
    """
    again = sum(day > lookback_end(plan) for plan in plans for day in plan.days)
    todo = sum(len(plan.days) for plan in plans)
    spent = [min(todo, left)]
    older = todo - again - max(0, left - again)
    while older > 0:
        if limit <= again:
            return [*spent, 0]
        spent.append(min(older + again, limit))
        older -= limit - again
    return spent


def lookback_end(plan: Plan) -> date:
    """Return the newest day that is final once it is fetched."""
    return days_before(plan.today, plan.dataset.lookback)


def forecast_lines(spent: Sequence[int], budget: tuple[int, int]) -> list[str]:
    """Return in words when a plan is complete."""
    limit, left = budget
    lines = [f"operations: {left} of {limit} are left for now, this run would take {spent[0]}"]
    if spent[-1] == 0 and len(spent) > 1:
        return [*lines, never_complete(limit)]
    when = "today" if len(spent) == 1 else f"in {len(spent) - 1} days"
    return [*lines, f"complete {when}, if it is run again on each day"]


def never_complete(limit: int) -> str:
    """Return what to say if the lookback leaves no operations for older days."""
    return (
        f"never complete: the days in the lookback take all {limit} operations of a day; raise "
        "--daily-operations, or lower --lookback"
    )
