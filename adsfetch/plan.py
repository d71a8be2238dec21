"""The plan of a run: the wanted range, and which of its days must be fetched."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from adsfetch.dates import days_between, parse_day, years_before
from adsfetch.errors import UsageError
from adsfetch.storage.store import DONE, Store


@dataclass(frozen=True)
class Plan:
    """The wanted range, both ends included, and the days in it that are not final yet."""

    first: date
    last: date
    days: list[date]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class WantedRange:
    """The range that a command wants, as a function of the store and the account's today.

    ``require_all`` makes a day that can no longer be fetched an error; otherwise it is skipped.
    """

    range: Callable[[Store, date], tuple[date, date]]
    require_all: bool = True


def between(start: str, end: str) -> WantedRange:
    """Return the range that the user wrote; "yesterday" is the account's."""
    return WantedRange(lambda _store, today: (parse_day(start, today), parse_day(end, today)))


def last_years(years: float) -> WantedRange:
    """Return this number of whole years up to yesterday."""

    def span(_store: Store, today: date) -> tuple[date, date]:
        yesterday = today - timedelta(1)
        return years_before(yesterday, years), yesterday

    return WantedRange(span)


def daily(lookback: int) -> WantedRange:
    """Return the range from the first day ever requested, or at least the lookback, to today."""

    def span(store: Store, today: date) -> tuple[date, date]:
        wanted_from = store.dataset.wanted_from or today
        return min(today - timedelta(lookback), wanted_from, *store.entries), today

    return WantedRange(span, require_all=False)


def make_plan(
    store: Store, wanted: WantedRange, today: date, lookback: int, earliest: date | None = None
) -> Plan:
    """Return the days to fetch; days in the future are left out, with a note.

    Raise UsageError for days before ``earliest`` that are not stored. The daily run skips them
    with a note instead: a gap that can no longer be filled must not fail it every day.
    """
    first, last = wanted.range(store, today)
    days_between(first, last)  # raises if the last day comes first
    if first > today:
        raise UsageError(f"{first} is in the future: for the account it is {today}")
    notes = [f"{last} is in the future: fetching up to today, {today}"] if last > today else []
    days = days_between(first, min(last, today))
    days = [day for day in days if store.state(day, lookback) not in DONE]
    too_old = [day for day in days if earliest and day < earliest]  # the first of the days
    if too_old and wanted.require_all:
        raise UsageError(f"daily reports are not available for days before {earliest}")
    if too_old:
        notes.append(f"{len(too_old)} missing days before {earliest} are no longer available")
    return Plan(first, min(last, today), days[len(too_old) :], tuple(notes))
