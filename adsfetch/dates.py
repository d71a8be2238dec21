"""Dates in the forms that people write, ranges of days, and the current day of an account."""

import calendar
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from adsfetch.errors import UsageError

MONTHS = "january february march april may june july august september october november december"
WRITTEN_FORMS = (
    re.compile(r"(?P<year>\d{4})[/.](?P<month>\d{1,2})[/.](?P<day>\d{1,2})"),
    re.compile(r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})"),
    re.compile(
        r"(?P<day>\d{1,2})(?:st|nd|rd|th)?[ -](?P<month>[a-z]{3,9})\.?,?[ -](?P<year>\d{4})"
    ),
    re.compile(r"(?P<month>[a-z]{3,9})\.? (?P<day>\d{1,2})(?:st|nd|rd|th)?,? (?P<year>\d{4})"),
)
SLASHES = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
TIME_OF_DAY = re.compile(
    r"(?<=\d)(t\d{2}(\d{2}){0,2}([.,]\d+)?(z|[+-]\d{2}:?(\d{2})?)?|[t ,]+\d{1,2}:\d{2}.*)$",
    re.ASCII,
)
WEEKDAY = re.compile(r"^(mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},? ")
ORDINAL = re.compile(r"(\d{4})-?(\d{3})")
DAYS_AGO = re.compile(r"-(\d{1,7})d", re.ASCII)
COUNT = re.compile(r"-\d+ ?[a-z]*", re.ASCII)
MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)
RELATIVE_DAYS = {"today": 0, "yesterday": 1}
RELATIVE_MONTHS = {"this-month": 0, "last-month": 1}
WEEKS = ("this-week", "last-week")


def parse_day(text: str, today: date) -> date:
    """Return the day that ``text`` means; raise UsageError if it is not a day or ambiguous.

    The accepted forms are all ISO forms (2024-02-27, 20240227, 2024-W09-2, 2024-058),
    2024/2/27, 27.2.2024, 27 Feb 2024, February 27, 2024, today, yesterday, and -7d, which is 7
    days before today. A date with slashes must be readable in one way only: 27/02/2024, but not
    03/04/2024.
    """
    word = word_of(text)
    try:
        return (
            parse_relative(word, today)
            or parse_iso(word)
            or parse_written(word)
            or parse_slashes(word)
        )
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{text!r} is not a day: {error}") from None


def parse_range(start: str, end: str | None, today: date) -> tuple[date, date]:
    """Return the first and the last day of a range; each text means a day or a month.

    A month, such as 2024-02 or last-month, starts the range with its first day and ends it with
    its last one; this-month ends today. Without an end the range is the day or the month of
    ``start``. Raise UsageError as ``parse_day`` does, and for -7d without an end: it could mean
    one day or seven.
    """
    first, last = parse_period(start, today)
    if end is not None:
        return first, parse_period(end, today)[1]
    if DAYS_AGO.fullmatch(word_of(start)):
        raise UsageError(f"{start} is one day: name the last day too, as in {start} yesterday")
    return first, last


def parse_period(text: str, today: date) -> tuple[date, date]:
    """Return the first and the last day of the month that ``text`` means, or its day twice."""
    if not is_month(text):
        day = parse_day(text, today)
        return day, day
    word = word_of(text)
    try:
        if word in RELATIVE_MONTHS:
            first = months_before(today.replace(day=1), RELATIVE_MONTHS[word])
        else:
            first = date.fromisoformat(f"{word}-01")
    except ValueError as error:
        raise UsageError(f"{text!r} is not a month: {error}") from None
    if word == "this-month":
        return first, today
    return first, first.replace(day=calendar.monthrange(first.year, first.month)[1])


def word_of(text: str) -> str:
    """Return a text in lower case, with single spaces."""
    return " ".join(text.lower().split())


def is_month(text: str) -> bool:
    """Return whether a text names a month and not a day."""
    word = word_of(text)
    return word in RELATIVE_MONTHS or MONTH.fullmatch(word) is not None


def is_relative(text: str) -> bool:
    """Return whether the meaning of a text depends on the account's today."""
    word = word_of(text)
    return word in RELATIVE_DAYS or word in RELATIVE_MONTHS or bool(DAYS_AGO.fullmatch(word))


def parse_relative(word: str, today: date) -> date | None:
    """Parse today, yesterday and -7d; raise ValueError for a month, a week or another unit."""
    if word in RELATIVE_DAYS:
        return today - timedelta(RELATIVE_DAYS[word])
    if match := DAYS_AGO.fullmatch(word):
        return today - timedelta(int(match[1]))
    if is_month(word):
        raise ValueError("it is a month; write one of its days")
    if word in WEEKS:
        raise ValueError("a week begins on Sunday or Monday; name both days, as in -7d yesterday")
    if COUNT.fullmatch(word):
        raise ValueError("count back in days, as in -7d")
    return None


def parse_iso(word: str) -> date | None:
    """Parse calendar, week and ordinal dates of ISO 8601."""
    if match := ORDINAL.fullmatch(word):
        year, number = int(match[1]), int(match[2])
        day = date(year, 1, 1) + timedelta(number - 1)
        if day.year != year:
            raise ValueError(f"{year} has no day number {number}")
        return day
    if word.isascii() and re.fullmatch(r"\d{4}-?(\d\d-?\d\d|w\d\d-?\d)", word):
        return date.fromisoformat(word.upper())
    return None


def parse_written(word: str) -> date | None:
    """Parse the forms in which the position or the name distinguishes day and month."""
    for form in WRITTEN_FORMS:
        if match := form.fullmatch(word):
            return date(int(match["year"]), month_number(match["month"]), int(match["day"]))
    return None


def month_number(text: str) -> int:
    """Return the number of a month by its number, English name or first letters of the name."""
    if text.isdecimal():
        return int(text)
    for number, month in enumerate(MONTHS.split(), 1):
        if month.startswith(text):
            return number
    raise ValueError(f"there is no month {text!r}")


def parse_slashes(word: str) -> date:
    """Parse 27/02/2024 and 02/27/2024; raise ValueError for an ambiguous date."""
    days = readings_of_slashes(word)
    if len(days) > 1:
        one, other = days
        raise ValueError(f"it could be {one} or {other}, write that one")
    return days[0]


def readings_of_slashes(word: str) -> list[date]:
    """Return the days that 03/04/2024 can mean: one, or two if the month can be either number."""
    match = SLASHES.fullmatch(word)
    if not match:
        raise ValueError("write it as 2024-02-27, yesterday or -7d")
    first, second, year = int(match[1]), int(match[2]), int(match[3])
    orders = dict.fromkeys([(second, first), (first, second)])
    months = [order for order in orders if order[0] <= 12] or [(second, first)]  # noqa: PLR2004
    return [date(year, month, day) for month, day in months]


def readings_of_cell(text: str) -> list[date]:
    """Return the days that a cell of a date column can mean, with any weekday and time of day.

    There are two for an ambiguous date, and none for a text that is not a date.
    """
    word = TIME_OF_DAY.sub("", WEEKDAY.sub("", " ".join(text.lower().split())))
    with suppress(ValueError, OverflowError):
        day = parse_iso(word) or parse_written(word)
        return [day] if day else readings_of_slashes(word)
    return []


def check_range(start: date, end: date) -> None:
    """Raise UsageError when ``end`` comes first: an empty range is always a typing error."""
    if end < start:
        raise UsageError(f"the range ends ({end}) before it starts ({start})")


def days_between(start: date, end: date) -> list[date]:
    """Return every day from ``start`` to ``end``, both included; raise as ``check_range`` does."""
    check_range(start, end)
    return [start + timedelta(number) for number in range((end - start).days + 1)]


def ranges_of(days: Sequence[date]) -> list[str]:
    """Return ordered days as text: one line for each series of days without a gap."""
    series: list[list[date]] = []
    for day in days:
        if series and day - series[-1][-1] == timedelta(1):
            series[-1].append(day)
        else:
            series.append([day])
    return [f"{s[0]} to {s[-1]}, {len(s)} days" if len(s) > 1 else str(s[0]) for s in series]


def days_before(day: date, days: int) -> date:
    """Return the same day some days ago, at the earliest the first day that there is."""
    return date.fromordinal(max(1, day.toordinal() - days))


def years_before(day: date, years: float) -> date:
    """Return the first day of this number of whole years that end with ``day``."""
    return months_before(day, round(years * 12)) + timedelta(1)


def months_before(day: date, months: int) -> date:
    """Return the same day some months ago, or the last day of a shorter month."""
    year, index = divmod(day.year * 12 + day.month - 1 - months, 12)
    if year < 1:
        raise UsageError(f"{months} months before {day} is before the year 1")
    _, length = calendar.monthrange(year, index + 1)
    return date(year, index + 1, min(day.day, length))


def zone(name: str) -> tzinfo | None:
    """Return a time zone by its IANA name, None for an empty name.

    Raise UsageError for an unknown name.
    """
    try:
        return ZoneInfo(name) if name else None
    except (ValueError, OSError, LookupError):
        raise UsageError(
            f"there is no time zone {name!r}; write a name like Europe/Berlin"
        ) from None


def today_in(time_zone: tzinfo | None) -> date:
    """Return the current day in a time zone; None means the host's."""
    return datetime.now(time_zone).astimezone(time_zone).date()
