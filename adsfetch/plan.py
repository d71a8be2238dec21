"""Which days a run is about, and which of them it must ask for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from adsfetch.dates import days_between, parse_day, years_before
from adsfetch.errors import UsageError
from adsfetch.store import EMPTY, FINAL, Store


@dataclass(frozen=True)
class Plan:
    """The wanted range, both ends included, and the days in it that are not final yet."""

    first: date
    last: date
    days: list[date]
    notes: tuple[str, ...] = ()


Scope = Callable[[Store, date], tuple[date, date]]


def named(start: str, end: str) -> Scope:
    """Want the range that the user wrote; "yesterday" is the account's."""
    return lambda _store, today: (parse_day(start, today), parse_day(end, today))


def past(years: float) -> Scope:
    """Want so many whole years up to yesterday."""

    def scope(_store: Store, today: date) -> tuple[date, date]:
        yesterday = today - timedelta(1)
        return years_before(yesterday, years), yesterday

    return scope


def daily(lookback: int) -> Scope:
    """Want all from the first day ever asked for until today; at first only the lookback."""

    def scope(store: Store, today: date) -> tuple[date, date]:
        begun = [today - timedelta(lookback), *store.entries]
        if store.dataset.wanted_from:
            begun.append(store.dataset.wanted_from)
        return min(begun), today

    return scope


def plan(
    store: Store, scope: Scope, today: date, lookback: int, earliest: date | None = None
) -> Plan:
    """Return what is to be done; days to come are left out, and said so."""
    first, last = scope(store, today)
    days_between(first, last)
    if first > today:
        raise UsageError(f"{first} is still to come: for the account it is {today}")
    notes = []
    if last > today:
        notes.append(f"{last} is still to come: fetching up to today, {today}")
        last = today
    days = unfinished(store, days_between(first, last), lookback)
    reachable = [day for day in days if earliest is None or day >= earliest]
    if len(reachable) < len(days):
        notes.append(f"{len(days) - len(reachable)} days before {earliest} are no longer given out")
    return Plan(first, last, reachable, tuple(notes))


def unfinished(store: Store, wanted: list[date], lookback: int) -> list[date]:
    """Return the wanted days that are not final."""
    return [day for day in wanted if store.state(day, lookback) not in (FINAL, EMPTY)]
