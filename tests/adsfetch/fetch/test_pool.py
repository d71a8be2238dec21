"""Days fetched on threads, with outcomes as values."""

from collections import deque
from datetime import date, timedelta

import pytest

import adsfetch
from adsfetch import DayFailure, DayReport, fetch_days
from adsfetch.fetch.metrics import CallMetrics
from tests.adsfetch.fetch.scenarios import DAYS, QUICK, one_row, outcomes


def test_each_day_becomes_one_report_with_its_rows():
    assert outcomes(one_row) == {
        day: DayReport(day, [{"date": day, "clicks": day.day}]) for day in DAYS
    }


def test_the_newest_day_is_fetched_first():
    assert [report.day for report in fetch_days(one_row, DAYS, workers=1)] == DAYS[::-1]


def test_a_duplicate_day_is_fetched_once():
    assert len(list(fetch_days(one_row, DAYS + DAYS))) == len(DAYS)


def test_one_failing_day_of_730_fails_alone_after_bounded_tries():
    bad = date(2023, 5, 5)
    calls = []

    def source(day):
        calls.append(day)
        if day == bad:
            raise ConnectionError("always")
        return one_row(day)

    found = outcomes(source, [date(2022, 6, 1) + timedelta(number) for number in range(730)])
    failed = [outcome for outcome in found.values() if isinstance(outcome, DayFailure)]
    assert [failure.day for failure in failed] == [bad]
    assert failed[0].tries == calls.count(bad) == 3
    assert len(calls) == 729 + 3


@pytest.mark.parametrize("error", [adsfetch.OAuthError("revoked"), adsfetch.AuthorizationError()])
def test_a_fatal_error_ends_the_run(error):
    calls = []

    def source(day):
        calls.append(day)
        raise error

    with pytest.raises(type(error)):
        list(fetch_days(source, DAYS, workers=2))
    assert len(calls) <= 2


def test_stopped_workers_are_not_counted_as_retries():
    def source(day):
        if day == DAYS[0]:
            raise adsfetch.OAuthError("revoked")
        raise adsfetch.RateLimitError(0.05)

    metrics = CallMetrics()
    with pytest.raises(adsfetch.OAuthError):
        list(fetch_days(source, DAYS, workers=5, retry=QUICK, metrics=metrics))
    assert set(metrics.retries) <= {"rate limit"}


def test_a_fatal_error_is_raised_after_the_finished_days():
    def source(day):
        if day == DAYS[0]:
            raise adsfetch.OAuthError("revoked")
        return one_row(day)

    seen = []
    with pytest.raises(adsfetch.OAuthError):
        deque(map(seen.append, fetch_days(source, DAYS, workers=1)))
    assert [report.day for report in seen] == DAYS[:0:-1]


def test_only_a_few_days_per_worker_are_started_ahead():
    begun = []

    def source(day):
        begun.append(day)
        return one_row(day)

    days = [date(2020, 1, 1) + timedelta(number) for number in range(300)]
    run = fetch_days(source, days, workers=2)
    next(run)
    run.close()
    assert len(begun) < 20


def test_a_source_that_does_not_return_rows_fails_the_day():
    failure = outcomes(lambda _day: None, DAYS[:1])[DAYS[0]]
    assert failure.reason == "DayError: the source returned NoneType, not rows"
