"""Dates in the forms that people write."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsfetch import UsageError
from adsfetch.dates import (
    days_between,
    is_relative,
    months_before,
    parse_day,
    parse_range,
    today_in,
    years_before,
    zone,
)

TODAY = date(2024, 3, 1)


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-29",
        "20240229",
        "2024-W09-4",
        "2024-060",
        "2024/02/29",
        "2024/2/29",
        "29.2.2024",
        "29.02.2024",
        "29 Feb 2024",
        "29-Feb-2024",
        "29 february 2024",
        "February 29, 2024",
        "Feb 29th 2024",
        "29/02/2024",
        "02/29/2024",
        " 2024-02-29 ",
        "yesterday",
        "Yesterday",
        "-1d",
        "-01D",
    ],
)
def test_a_day_is_understood_in_every_unambiguous_form(text):
    assert parse_day(text, TODAY) == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("03/04/2024", "2024-04-03 or 2024-03-04"),
        ("2023-02-29", "day is out of range"),
        ("2023-366", "2023 has no day number 366"),
        ("29/13/2024", "month must be"),
        ("1 Foo 2024", "there is no month"),
        ("tomorrow", "write it as 2024-02-27"),
        ("24-02-29", "write it as"),
        ("", "write it as"),
        ("2024-02-29T10:00", "write it as"),
        ("٢٠٢٤-٠٢-٢٩", "write it as"),
        ("2024-02", "it is a month"),
        ("this-month", "it is a month"),
        ("last-week", "a week begins on Sunday or Monday"),
        ("-7", "count back in days, as in -7d"),
        ("-1m", "count back in days, as in -7d"),
        ("-2 weeks", "count back in days, as in -7d"),
        ("-9999999d", "date value out of range"),
    ],
)
def test_an_invalid_or_ambiguous_day_is_rejected_with_the_reason(text, why):
    with pytest.raises(UsageError, match=why):
        parse_day(text, TODAY)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("-7d", "yesterday", ("2024-02-23", "2024-02-29")),
        ("-0d", "today", ("2024-03-01", "2024-03-01")),
        ("2024-02", None, ("2024-02-01", "2024-02-29")),
        ("last-month", None, ("2024-02-01", "2024-02-29")),
        ("Last-Month", "today", ("2024-02-01", "2024-03-01")),
        ("2023-11", "last-month", ("2023-11-01", "2024-02-29")),
        ("2023-02", "2023-02", ("2023-02-01", "2023-02-28")),
        ("2024-03", None, ("2024-03-01", "2024-03-31")),
        ("this-month", None, ("2024-03-01", "2024-03-01")),
        ("9999-12", None, ("9999-12-01", "9999-12-31")),
        ("27 Feb 2024", None, ("2024-02-27", "2024-02-27")),
        ("yesterday", None, ("2024-02-29", "2024-02-29")),
    ],
)
def test_a_range_takes_months_and_relative_days_with_both_ends_included(start, end, expected):
    assert tuple(map(str, parse_range(start, end, TODAY))) == expected


def test_the_last_month_in_january_is_in_the_year_before():
    start, end = parse_range("last-month", None, date(2024, 1, 31))
    assert (start, end) == (date(2023, 12, 1), date(2023, 12, 31))


@pytest.mark.parametrize(
    ("start", "why"),
    [
        ("-7d", "is one day: name the last day too, as in -7d yesterday"),
        ("2024-13", "is not a month: month must be"),
        ("0000-01", "is not a month: year 0 is out of range"),
        ("202402", "write it as"),
        ("last-year", "write it as"),
    ],
)
def test_a_range_that_could_mean_another_one_is_rejected(start, why):
    with pytest.raises(UsageError, match=why):
        parse_range(start, None, TODAY)


@given(st.dates())
def test_every_iso_day_is_parsed(day):
    assert parse_day(day.isoformat(), TODAY) == day


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 800))
def test_a_range_contains_both_ends_and_each_day_once(start, length):
    end = date.fromordinal(start.toordinal() + length)
    days = days_between(start, end)
    assert (days[0], days[-1], len(set(days))) == (start, end, length + 1)


def test_a_leap_day_is_in_its_range():
    assert date(2024, 2, 29) in days_between(date(2024, 2, 27), date(2024, 3, 4))


def test_an_end_before_the_start_is_a_usage_error():
    with pytest.raises(UsageError, match="ends"):
        days_between(date(2024, 3, 4), date(2024, 2, 27))


def test_two_years_are_730_days_or_731_with_a_leap_day():
    assert len(days_between(years_before(date(2023, 6, 30), 2), date(2023, 6, 30))) == 730
    assert len(days_between(years_before(date(2024, 2, 29), 2), date(2024, 2, 29))) == 731


def test_months_before_the_end_of_a_long_month_are_the_end_of_a_short_one():
    assert months_before(date(2024, 3, 31), 1) == date(2024, 2, 29)
    assert months_before(date(2024, 12, 31), 37) == date(2021, 11, 30)


def test_the_current_day_depends_on_the_time_zone():
    ahead, behind = today_in(zone("Pacific/Kiritimati")), today_in(zone("Pacific/Pago_Pago"))
    assert (ahead - behind).days in (1, 2)


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "Europe"])
def test_an_unknown_time_zone_is_a_usage_error(name):
    with pytest.raises(UsageError, match="time zone"):
        zone(name)


@pytest.mark.parametrize("text", ["today", "Yesterday", "-7d", "last-month", "this-month"])
def test_a_word_that_depends_on_today_is_relative_and_a_date_is_not(text):
    assert is_relative(text)
    assert not is_relative("2024-02")
    assert not is_relative("2024-02-27")
