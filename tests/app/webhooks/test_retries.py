"""When failed requests are repeated."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from app.webhooks.retries import GIVE_UP_AFTER, next_attempt_at

AT = datetime(2026, 1, 1, 12, tzinfo=UTC)


def wait(failed_attempts=1, *, failing_since=AT, retry_after=None, jitter=0.0):
    """Return the seconds to the next attempt; None if there is none."""
    at = next_attempt_at(
        AT,
        failing_since=failing_since,
        failed_attempts=failed_attempts,
        retry_after=retry_after,
        jitter=jitter,
    )
    return None if at is None else (at - AT).total_seconds()


def test_waits_double_from_a_second_to_an_hour():
    assert [wait(n) for n in range(1, 15)] == [*(2**n for n in range(12)), 3_600, 3_600]
    assert wait(10**9) == 3_600


def test_jitter_makes_them_up_to_half_as_long_again():
    assert [wait(4, jitter=jitter) for jitter in (0, 0.5, 1)] == [8, 10, 12]


def test_the_last_attempt_is_made_after_three_days():
    assert wait(99, failing_since=AT - GIVE_UP_AFTER + timedelta(seconds=5)) == 5
    assert wait(99, failing_since=AT - GIVE_UP_AFTER) is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        (" 120 ", 120),
        ("0", 1),
        ("9" * 30, 6 * 3_600),
        (format_datetime(AT + timedelta(minutes=5), usegmt=True), 300),
        (format_datetime(AT - timedelta(minutes=5), usegmt=True), 1),
        (format_datetime(AT + timedelta(days=300), usegmt=True), 6 * 3_600),
        ("Thu, 01 Jan 2026 12:02:00", 120),
        ("soon", 1),
        ("-5", 1),
        ("\u0663", 1),
        ("", 1),
        (None, 1),
    ],
)
def test_retry_after_is_respected_within_bounds(header, seconds):
    assert wait(retry_after=header) == seconds
