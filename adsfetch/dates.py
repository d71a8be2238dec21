"""Dates in the forms that people write, ranges of days, and the current day of an account."""

import re
from datetime import date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from adsfetch.errors import UsageError

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
NAMED = re.compile(r"(\d{1,2})(?:st|nd|rd|th)?[ -]([a-z]{3,9})\.?,?[ -](\d{4})")
NAMED_FIRST = re.compile(r"([a-z]{3,9})\.? (\d{1,2})(?:st|nd|rd|th)?,? (\d{4})")
YEAR_FIRST = re.compile(r"(\d{4})[/.](\d{1,2})[/.](\d{1,2})")
DOTS = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
SLASHES = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
ORDINAL = re.compile(r"(\d{4})-?(\d{3})")
RELATIVE = {"today": 0, "yesterday": 1}


def parse_day(text: str, today: date) -> date:
    """Return the day that ``text`` means; raise UsageError if it is not a day or ambiguous.

    The accepted forms are all ISO forms (2024-02-27, 20240227, 2024-W09-2, 2024-058),
    2024/2/27, 27.2.2024, 27 Feb 2024, February 27, 2024, today and yesterday. A date with
    slashes must be readable in one way only: 27/02/2024, but not 03/04/2024.
    """
    word = " ".join(text.lower().split())
    if word in RELATIVE:
        return today - timedelta(RELATIVE[word])
    try:
        return parse_iso(word) or parse_written(word) or parse_slashes(word)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a day: {error}") from None


def parse_iso(word: str) -> date | None:
    """Parse calendar, week and ordinal dates of ISO 8601."""
    if match := ORDINAL.fullmatch(word):
        return ordinal_date(int(match[1]), int(match[2]))
    if word.isascii() and re.fullmatch(r"\d{4}-?(\d\d-?\d\d|w\d\d-?\d)", word):
        return date.fromisoformat(word.upper())
    return None


def ordinal_date(year: int, number: int) -> date:
    """Return the day of a year by its number, 1 to 366."""
    day = date(year, 1, 1) + timedelta(number - 1)
    if day.year != year:
        raise ValueError(f"{year} has no day number {number}")
    return day


def parse_written(word: str) -> date | None:
    """Parse the forms in which the position or the name distinguishes day and month."""
    if match := YEAR_FIRST.fullmatch(word):
        return date(int(match[1]), int(match[2]), int(match[3]))
    if match := DOTS.fullmatch(word):
        return date(int(match[3]), int(match[2]), int(match[1]))
    if match := NAMED.fullmatch(word):
        return date(int(match[3]), month_number(match[2]), int(match[1]))
    if match := NAMED_FIRST.fullmatch(word):
        return date(int(match[3]), month_number(match[1]), int(match[2]))
    return None


def month_number(name: str) -> int:
    """Return the number of a month by its English name or the first letters of the name."""
    for number, month in enumerate(MONTHS, 1):
        if month.startswith(name):
            return number
    raise ValueError(f"there is no month {name!r}")


def parse_slashes(word: str) -> date:
    """Parse 27/02/2024 and 02/27/2024; raise ValueError for an ambiguous date."""
    match = SLASHES.fullmatch(word)
    if not match:
        raise ValueError("write it as 2024-02-27")
    first, second, year = int(match[1]), int(match[2]), int(match[3])
    if first <= 12 and second <= 12 and first != second:  # noqa: PLR2004 - months
        one, other = date(year, second, first), date(year, first, second)
        raise ValueError(f"it could be {one} or {other}, write that one")
    return date(year, second, first) if second <= 12 else date(year, first, second)  # noqa: PLR2004


def days_between(start: date, end: date) -> list[date]:
    """Return every day from ``start`` to ``end``, both included.

    Raise UsageError when ``end`` comes first: an empty range is always a typing error.
    """
    if end < start:
        raise UsageError(f"the range ends ({end}) before it starts ({start})")
    return [start + timedelta(number) for number in range((end - start).days + 1)]


def years_before(day: date, years: float) -> date:
    """Return the first day of this number of whole years that end with ``day``."""
    return months_before(day, round(years * 12)) + timedelta(1)


def months_before(day: date, months: int) -> date:
    """Return the same day some months ago, or the last day of a shorter month."""
    index = day.year * 12 + day.month - 1 - months
    if index < 12:  # noqa: PLR2004 - months of a year
        raise UsageError(f"{months} months before {day} is before the year 1")
    first = date(index // 12, index % 12 + 1, 1)
    length = (date(first.year + first.month // 12, first.month % 12 + 1, 1) - first).days
    return first.replace(day=min(day.day, length))


def zone(name: str) -> tzinfo:
    """Return a time zone by its IANA name; raise UsageError for an unknown name."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise UsageError(
            f"there is no time zone {name!r}; write a name like Europe/Berlin"
        ) from None


def today_in(time_zone: tzinfo | None) -> date:
    """Return the current day in a time zone; None means the host's."""
    return datetime.now(time_zone).astimezone(time_zone).date()
