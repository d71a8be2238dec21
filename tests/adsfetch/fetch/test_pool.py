"""The library: days fetched on threads, outcomes as values."""

import builtins
import subprocess
import sys
import threading
import time
from collections import deque
from datetime import date, timedelta
from itertools import pairwise

import pytest

import adsfetch
from adsfetch import DayFailure, DayReport, Retry, fetch_days
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.throttle import Throttle

DAYS = [date(2024, 2, 27) + timedelta(number) for number in range(5)]
QUICK = Retry(attempts=3, wait_initial=0.001, wait_max=0.002)


def one_row(day):
    return [{"date": day, "clicks": day.day}]


def outcomes(source, days=DAYS, **more):
    more.setdefault("retry", QUICK)
    return {outcome.day: outcome for outcome in fetch_days(source, days, **more)}


def raising_once(error):
    """A source that raises an error on its first call for each day, and a record of calls."""
    met = []

    def source(day):
        met.append(day)
        if met.count(day) == 1:
            raise error
        return one_row(day)

    return source, met


def test_each_day_becomes_one_report_with_its_rows():
    assert outcomes(one_row) == {
        day: DayReport(day, [{"date": day, "clicks": day.day}]) for day in DAYS
    }


def test_the_newest_day_comes_first():
    assert [report.day for report in fetch_days(one_row, DAYS, workers=1)] == DAYS[::-1]


def test_a_day_named_twice_is_asked_once():
    assert len(list(fetch_days(one_row, DAYS + DAYS))) == len(DAYS)


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (adsfetch.TimeoutError("slow"), "timeout"),
        (adsfetch.RateLimitError(0.01), "rate limit"),
        (adsfetch.TransientError("later"), "transient"),
        (ConnectionError("gone"), "ConnectionError"),
        (builtins.TimeoutError("slow"), "TimeoutError"),
        (RuntimeError("who knows"), "RuntimeError"),
    ],
)
def test_what_may_pass_is_tried_again(error, cause):
    source, met = raising_once(error)
    metrics = CallMetrics()
    found = outcomes(source, DAYS[:1], metrics=metrics)
    assert isinstance(found[DAYS[0]], DayReport)
    assert len(met) == 2
    assert metrics.retries == {cause: 1}


@pytest.mark.parametrize("error", [TypeError("x"), adsfetch.DayError("x"), NameError("x")])
def test_what_will_not_pass_is_not_tried_again(error):
    source, met = raising_once(error)
    assert outcomes(source, DAYS[:1])[DAYS[0]] == DayFailure(DAYS[0], error)
    assert len(met) == 1


def test_one_bad_day_of_730_costs_itself_and_bounded_tries():
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
def test_an_error_that_every_day_would_meet_ends_the_run(error):
    calls = []

    def source(day):
        calls.append(day)
        raise error

    with pytest.raises(type(error)):
        list(fetch_days(source, DAYS, workers=2))
    assert len(calls) <= 2


def test_workers_that_were_stopped_count_as_no_retries():
    def source(day):
        if day == DAYS[0]:
            raise adsfetch.OAuthError("revoked")
        raise adsfetch.RateLimitError(0.05)

    metrics = CallMetrics()
    with pytest.raises(adsfetch.OAuthError):
        list(fetch_days(source, DAYS, workers=5, retry=QUICK, metrics=metrics))
    assert set(metrics.retries) <= {"rate limit"}


def test_a_fatal_error_comes_after_the_days_that_were_done():
    def source(day):
        if day == DAYS[0]:
            raise adsfetch.OAuthError("revoked")
        return one_row(day)

    seen = []
    with pytest.raises(adsfetch.OAuthError):
        deque(map(seen.append, fetch_days(source, DAYS, workers=1)))
    assert [report.day for report in seen] == DAYS[:0:-1]


def test_a_wait_longer_than_patience_is_a_quota_error():
    def source(_day):
        raise adsfetch.RateLimitError(3600)

    with pytest.raises(adsfetch.QuotaError, match=r"1\.0 hours"):
        list(fetch_days(source, DAYS))


def test_a_source_that_never_comes_back_is_given_up_and_holds_nobody():
    stuck = threading.Event()

    def source(day):
        if day == DAYS[2]:
            stuck.wait()
        return one_row(day)

    found = outcomes(source, timeout=0.2, workers=1)
    stuck.set()
    assert isinstance(found[DAYS[2]].error, builtins.TimeoutError)
    assert isinstance(found[DAYS[2]].error, adsfetch.TimeoutError)
    assert found[DAYS[2]].tries == 1
    assert sum(isinstance(outcome, DayReport) for outcome in found.values()) == 4


def test_rows_that_stop_coming_are_given_up_like_a_call_that_does():
    stuck = threading.Event()

    def source(day):
        yield {"date": day}
        stuck.wait()

    found = outcomes(source, DAYS[:1], timeout=0.2)
    stuck.set()
    assert isinstance(found[DAYS[0]].error, adsfetch.TimeoutError)


def test_no_more_days_are_begun_than_the_window_holds():
    begun = []

    def source(day):
        begun.append(day)
        return one_row(day)

    days = [date(2020, 1, 1) + timedelta(number) for number in range(300)]
    run = fetch_days(source, days, workers=2)
    next(run)
    run.close()
    assert len(begun) < 20


def test_a_source_that_returns_no_rows_is_told_so():
    failure = outcomes(lambda _day: None, DAYS[:1])[DAYS[0]]
    assert failure.reason == "DayError: the source returned NoneType, not rows"


def test_after_a_rate_limit_half_the_calls_go_on_and_their_number_grows_again():
    throttle = Throttle(8)
    with throttle.acquire() as first, throttle.acquire() as second:
        throttle.pause(0.01, first)
        throttle.pause(0.01, second)
    assert throttle.limit == 4
    for _ in range(4 + 5 + 6 + 7):
        with throttle.acquire():
            pass
    assert throttle.limit == 8


def test_a_rate_limit_that_names_no_delay_is_waited_for_twice_as_long_each_time():
    times = []

    def source(day):
        times.append(time.monotonic())
        if len(times) < 5:
            raise adsfetch.RateLimitError
        return one_row(day)

    retry = Retry(attempts=3, wait_initial=0.05, wait_max=0.2)
    assert isinstance(outcomes(source, DAYS[:1], retry=retry)[DAYS[0]], DayReport)
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert all(wait >= asked for wait, asked in zip(waits, [0.05, 0.1, 0.2, 0.2], strict=True))


def test_the_gate_counts_overlapping_pauses_once():
    throttle = Throttle(2)
    with throttle.acquire() as permit:
        throttle.pause(0.2, permit)
        throttle.pause(0.2, permit)
    with throttle.acquire():
        assert 0.19 < throttle.paused_seconds < 0.3


def test_a_process_whose_source_hangs_still_ends(tmp_path):
    program = (
        "import time; from datetime import date; from adsfetch import fetch_days\n"
        "print(list(fetch_days(lambda day: time.sleep(600), [date(2024, 1, 1)], timeout=0.2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert "StuckError" in done.stdout
