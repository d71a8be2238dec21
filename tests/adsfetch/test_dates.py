"""Dates in the forms that people write."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adsfetch import UsageError
from adsfetch.dates import days_between, months_before, parse_day, today_in, years_before, zone

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
    ],
)
def test_an_invalid_or_ambiguous_day_is_rejected_with_the_reason(text, why):
    with pytest.raises(UsageError, match=why):
        parse_day(text, TODAY)


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
