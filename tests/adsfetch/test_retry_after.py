"""Delays in any form, from code of others: understood or ignored."""

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from fractions import Fraction

import pytest

import adsfetch
from adsfetch import DayReport, RateLimitError
from adsfetch.retry_after import parse_retry_after
from tests.adsfetch.fetch.scenarios import DAYS, one_row, outcomes
from tests.waiting import PATIENCE


class Odd:
    def __float__(self):
        raise RuntimeError("no number")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (30, 30),
        (1.5, 1.5),
        ("1", 1),
        (" 1.5 ", 1.5),
        ("1.5s", 1.5),
        (b"2", 2),
        (Decimal("0.5"), 0.5),
        (Fraction(1, 4), 0.25),
        (timedelta(minutes=2), 120),
        (0, 0),
        (-5, 0),
        ("-5", 0),
        (timedelta(-1), 0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0),
        (datetime(2015, 10, 21, tzinfo=UTC), 0),
    ],
)
def test_a_delay_is_understood_in_every_form(value, seconds):
    assert parse_retry_after(value) == seconds
    assert RateLimitError(retry_after=value).retry_after == seconds


@pytest.mark.parametrize("zoned", [True, False])
def test_a_date_in_the_future_is_the_time_until_then(zoned):
    moment = datetime.now(UTC) + timedelta(hours=1)
    for value in (moment if zoned else moment.replace(tzinfo=None), format_datetime(moment)):
        assert 3600 - PATIENCE < parse_retry_after(value) <= 3600


@pytest.mark.parametrize(
    "value",
    [None, True, False, math.nan, math.inf, -math.inf, "inf", "nan", "", "soon", "12:30", b"\xff",
     [1], {}, 10**400, Decimal("NaN"), Odd(), "Wed, 99 Oct 2015 07:28:00 GMT"],
)  # fmt: skip
def test_what_names_no_finite_delay_is_ignored(value):
    assert parse_retry_after(value) is None
    assert RateLimitError(value).retry_after is None
    assert str(RateLimitError(value)) == "rate limit reached"


@pytest.mark.parametrize(
    "value", ["0.01", timedelta(milliseconds=10), math.nan, math.inf, -3, b"0.01", True, "soon"]
)
def test_a_source_that_names_such_a_delay_is_paused_and_goes_on(value):
    calls = []

    def source(day):
        calls.append(day)
        if len(calls) == 1:
            raise RateLimitError(retry_after=value)
        return one_row(day)

    assert isinstance(outcomes(source, DAYS[:1])[DAYS[0]], DayReport)
    assert len(calls) == 2


def test_a_delay_that_is_set_after_the_construction_is_understood_too():
    class Ours(RateLimitError):
        def __init__(self):
            Exception.__init__(self, "slow down")

    late = Ours()
    late.retry_after = "7200"
    days = iter([Ours(), late])

    def source(_day):
        raise next(days)

    with pytest.raises(adsfetch.QuotaError, match=r"2\.0 hours"):
        outcomes(source, DAYS[:1])
