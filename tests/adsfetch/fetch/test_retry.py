"""Which errors are retried, and how long rate limits pause."""

import builtins
import time
from itertools import pairwise

import pytest

import adsfetch
from adsfetch import DayFailure, DayReport, Retry, fetch_days
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.retry import RetriedCall
from adsfetch.fetch.throttle import Throttle
from tests.adsfetch.fetch.scenarios import DAYS, one_row, outcomes


def raising_once(error):
    """A source that raises an error on its first call for each day, and a record of calls."""
    calls = []

    def source(day):
        calls.append(day)
        if calls.count(day) == 1:
            raise error
        return one_row(day)

    return source, calls


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
def test_a_temporary_error_is_retried(error, cause):
    source, calls = raising_once(error)
    metrics = CallMetrics()
    found = outcomes(source, DAYS[:1], metrics=metrics)
    assert isinstance(found[DAYS[0]], DayReport)
    assert len(calls) == 2
    assert metrics.retries == {cause: 1}


@pytest.mark.parametrize("error", [TypeError("x"), adsfetch.DayError("x"), NameError("x")])
def test_a_permanent_error_is_not_retried(error):
    source, calls = raising_once(error)
    assert outcomes(source, DAYS[:1])[DAYS[0]] == DayFailure(DAYS[0], error)
    assert len(calls) == 1


def test_a_pause_longer_than_the_limit_is_a_quota_error():
    def source(_day):
        raise adsfetch.RateLimitError(3600)

    with pytest.raises(adsfetch.QuotaError, match=r"1\.0 hours"):
        list(fetch_days(source, DAYS))


def test_pauses_double_if_the_server_names_no_delay():
    times = []

    def source(day):
        times.append(time.monotonic())
        if len(times) < 5:
            raise adsfetch.RateLimitError
        return one_row(day)

    retry = Retry(attempts=3, wait_initial=0.05, wait_max=0.2)
    assert isinstance(outcomes(source, DAYS[:1], retry=retry)[DAYS[0]], DayReport)
    waits = [later - sooner for sooner, later in pairwise(times)]
    assert all(wait >= minimum for wait, minimum in zip(waits, [0.05, 0.1, 0.2, 0.2], strict=True))


def test_a_call_before_the_days_is_paused_by_a_rate_limit_too():
    throttle, calls = Throttle(2), []

    def call():
        calls.append(time.monotonic())
        if len(calls) == 1:
            raise adsfetch.RateLimitError("0.2")
        return "Europe/Berlin"

    metrics = CallMetrics()
    assert RetriedCall(Retry(), throttle, metrics)(call) == "Europe/Berlin"
    assert calls[1] - calls[0] >= 0.2
    assert metrics.retries == {"rate limit": 1}

    def refuse():
        raise adsfetch.RateLimitError(7200)

    with pytest.raises(adsfetch.QuotaError, match=r"2\.0 hours"):
        RetriedCall(Retry(), throttle, metrics)(refuse)
