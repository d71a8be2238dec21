"""The throttle: fewer calls after a rate limit, and the order of permits."""

import threading
import time
from contextlib import suppress

import pytest

from adsfetch import OAuthError, RateLimitError, Retry, fetch_days
from adsfetch.fetch.throttle import Throttle
from tests.adsfetch.fetch.scenarios import DAYS
from tests.waiting import PATIENCE, wait_until

ONE_ATTEMPT = Retry(attempts=1, wait_initial=0.001, wait_max=0.002)


def order_of_permits(names, *, refused):
    """Let workers wait for the only permit, one after another; return who gets it, in order.

    The name says for which call a worker waits: its first, or a retry. All calls are refused,
    or all succeed.
    """
    throttle, order, threads = Throttle(1), [], []

    def call(name):
        with suppress(RateLimitError), throttle.acquire(first_call=name.startswith("first")):
            order.append(name)
            if refused:
                raise RateLimitError

    with suppress(RateLimitError), throttle.acquire() as pauses:
        throttle.pause(0, pauses)
        for number, name in enumerate(names, 1):
            threads.append(threading.Thread(target=call, args=(name,)))
            threads[-1].start()
            wait_until(lambda number=number: throttle.waiting == number)
        if refused:
            raise RateLimitError
    for thread in threads:
        thread.join(PATIENCE)
    return order


def test_a_rate_limit_halves_the_calls_and_successes_raise_their_number_again():
    throttle = Throttle(8)
    with throttle.acquire() as first, throttle.acquire() as second:
        throttle.pause(0.01, first)
        throttle.pause(0.01, second)
    assert throttle.limit == 4
    for _ in range(4 + 5 + 6 + 7):
        with throttle.acquire():
            pass
    assert throttle.limit == 8


def test_overlapping_pauses_are_counted_once():
    throttle = Throttle(2)
    with throttle.acquire() as pauses:
        began = time.monotonic()
        throttle.pause(0.2, pauses)
        throttle.pause(0.2, pauses)
        between = time.monotonic() - began
    with throttle.acquire():
        assert 0.19 < throttle.paused_seconds < 0.21 + between


def test_while_calls_are_refused_first_calls_precede_retries():
    names = ["retry 1", "first 1", "retry 2", "first 2"]
    order = order_of_permits(names, refused=True)
    assert order == ["first 1", "first 2", "retry 1", "retry 2"]


def test_while_calls_succeed_permits_follow_the_order_of_arrival():
    names = ["retry 1", "first 1", "retry 2", "first 2"]
    assert order_of_permits(names, refused=False) == names


def test_a_fatal_error_of_a_day_not_called_yet_is_found_before_the_quota_is_declared_used_up():
    for _ in range(20):  # without that order, one run in four ended with QuotaError
        throttle, calls = Throttle(1), []

        def source(day, throttle=throttle, calls=calls):
            calls.append(day)
            if day == calls[0]:
                wait_until(lambda: throttle.waiting == 1 or len(calls) > 1)
                raise RateLimitError(0.005)
            raise OAuthError("revoked")

        with pytest.raises(OAuthError):
            list(fetch_days(source, DAYS[:2], workers=2, retry=ONE_ATTEMPT, throttle=throttle))
