"""Which days a run is about, and which of them it must ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from adsfetch.dates import days_between, parse_day, years_before
from adsfetch.errors import UsageError
from adsfetch.storage.store import EMPTY, FINAL, Store


@dataclass(frozen=True)
class Plan:
    """The wanted range, both ends included, and the days in it that are not final yet."""

    first: date
    last: date
    days: list[date]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Scope:
    """How the wanted range is found, and whether every day of it must be had."""

    range: Callable[[Store, date], tuple[date, date]]
    strict: bool = True


def named(start: str, end: str) -> Scope:
    """Want the range that the user wrote; "yesterday" is the account's."""
    return Scope(lambda _store, today: (parse_day(start, today), parse_day(end, today)))


def past(years: float) -> Scope:
    """Want so many whole years up to yesterday."""

    def span(_store: Store, today: date) -> tuple[date, date]:
        yesterday = today - timedelta(1)
        return years_before(yesterday, years), yesterday

    return Scope(span)


def daily(lookback: int) -> Scope:
    """Want all from the first day ever asked for until today; at first only the lookback."""

    def span(store: Store, today: date) -> tuple[date, date]:
        begun = [today - timedelta(lookback), *store.entries]
        if store.dataset.wanted_from:
            begun.append(store.dataset.wanted_from)
        return min(begun), today

    return Scope(span, strict=False)


def plan(
    store: Store, scope: Scope, today: date, lookback: int, earliest: date | None = None
) -> Plan:
    """Return what is to be done; days to come are left out, and said so.

    Raise UsageError for days before ``earliest`` that are not held, unless the scope bears it:
    a daily run does, or a gap that can no longer be filled would fail it for ever.
    """
    first, last = scope.range(store, today)
    days_between(first, last)
    if first > today:
        raise UsageError(f"{first} is still to come: for the account it is {today}")
    notes = [f"{last} is still to come: fetching up to today, {today}"] if last > today else []
    days = unfinished(store, days_between(first, min(last, today)), lookback)
    gone = [day for day in days if earliest and day < earliest]
    if gone and scope.strict:
        raise UsageError(f"daily figures are no longer given out for days before {earliest}")
    if gone:
        notes.append(f"{len(gone)} missing days before {earliest} are no longer given out")
    return Plan(first, min(last, today), days[len(gone) :], tuple(notes))


def unfinished(store: Store, wanted: list[date], lookback: int) -> list[date]:
    """Return the wanted days that are not final."""
    return [day for day in wanted if store.state(day, lookback) not in (FINAL, EMPTY)]
