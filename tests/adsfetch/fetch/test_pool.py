"""Days fetched on threads, with outcomes as values."""

import threading
from collections import Counter, deque
from contextlib import suppress
from datetime import date, timedelta

import pytest

import adsfetch
from adsfetch import DayFailure, DayReport, Retry, fetch_days
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


YEARS = [date(2019, 1, 1) + timedelta(number) for number in range(1825)]


@pytest.mark.parametrize("error", [ConnectionError("away"), AttributeError("no such thing")])
def test_a_source_that_is_away_is_not_asked_for_every_day(error):
    calls = []

    def source(day):
        calls.append(day)
        raise error

    failures = []
    with pytest.raises(adsfetch.SourceDownError, match=r"days failed one after another.*(away|no)"):
        deque(map(failures.append, fetch_days(source, YEARS, workers=4, retry=QUICK)))
    assert 32 <= len(failures) <= 32 + 8
    assert len(calls) <= 3 * (32 + 8)


def test_a_source_that_goes_away_in_mid_run_is_noticed():
    calls, served = [], iter(range(100))  # threads cannot get the same number of it

    def source(day):
        calls.append(day)
        if next(served, None) is None:
            raise ConnectionError("away")
        return one_row(day)

    seen = []
    with pytest.raises(adsfetch.SourceDownError):
        deque(map(seen.append, fetch_days(source, YEARS, workers=4, retry=QUICK)))
    assert sum(isinstance(outcome, DayReport) for outcome in seen) == 100
    assert len(calls) <= 100 + 3 * (32 + 8)


@pytest.mark.parametrize("start", [0, 500, 1725])
def test_many_bad_days_in_a_row_do_not_keep_the_others_from_being_fetched(start):
    bad = set(YEARS[start : start + 100])

    def source(day):
        if day in bad:
            raise ConnectionError("this day does not work")
        return one_row(day)

    seen = []
    with suppress(adsfetch.SourceDownError):  # when only bad days are left
        retry = Retry(1, 0.001, 0.002)
        deque(map(seen.append, fetch_days(source, YEARS, workers=4, retry=retry)))
    assert {report.day for report in seen if isinstance(report, DayReport)} == {*YEARS} - bad


def test_days_that_the_source_does_not_have_do_not_mean_that_it_is_away():
    def source(_day):
        raise adsfetch.UnavailableError("too old")

    found = outcomes(source, YEARS[:100])
    assert {type(outcome.error) for outcome in found.values()} == {adsfetch.UnavailableError}


@pytest.mark.parametrize("delay", [None, 7200])
def test_an_error_of_authorisation_precedes_a_quota_that_is_used_up(delay):
    """The oldest day is refused last, when the refusals of the others are enough for a verdict."""
    calls, enough = Counter(), threading.Event()

    def source(day):
        if day == DAYS[0]:
            enough.wait(1)
            raise adsfetch.OAuthError("revoked")
        calls[day] += 1
        if calls.total() >= (4 if delay else 5):
            threading.Timer(0.2, enough.set).start()  # time for a verdict that is too early
        raise adsfetch.RateLimitError(delay)

    for _ in range(3):
        calls.clear()
        enough.clear()
        with pytest.raises(adsfetch.OAuthError):
            list(fetch_days(source, DAYS, workers=5, retry=Retry(1, 0.001, 0.002)))


def test_days_that_are_done_while_the_quota_ends_are_kept():
    ended = threading.Event()

    def source(day):
        if day == DAYS[0]:
            ended.wait(10)
            return one_row(day)
        threading.Timer(0.2, ended.set).start()
        raise adsfetch.RateLimitError(7200)

    seen = []
    with pytest.raises(adsfetch.QuotaError):
        deque(map(seen.append, fetch_days(source, DAYS, workers=5)))
    assert [outcome.day for outcome in seen] == [DAYS[0]]
