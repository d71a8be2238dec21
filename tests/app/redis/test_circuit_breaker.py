"""The circuit breaker on a clock that only the test advances."""

import pytest

from app.redis.circuit_breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(open_seconds=1.0, clock=clock)


def test_a_closed_breaker_allows_every_request(breaker):
    assert breaker.closed
    assert all(breaker.allow_request(priority=priority) for priority in (False, True, False))


def test_the_first_failure_opens_it(breaker, clock):
    breaker.record_failure()
    clock.time += 0.9
    assert not breaker.closed
    assert [breaker.allow_request() for _ in range(3)] == [False, False, False]


def test_while_open_one_request_is_allowed_in_each_period(breaker, clock):
    breaker.record_failure()
    for _ in range(3):
        clock.time += 1.0
        assert [breaker.allow_request() for _ in range(3)] == [True, False, False]


def test_one_priority_request_is_allowed_beside_it(breaker, clock):
    breaker.record_failure()
    assert [breaker.allow_request(priority=True) for _ in range(3)] == [True, False, False]
    clock.time += 1.0
    assert breaker.allow_request()
    assert [breaker.allow_request(priority=True) for _ in range(3)] == [True, False, False]


def test_a_priority_request_that_comes_first_takes_the_only_turn(breaker, clock):
    breaker.record_failure()
    clock.time += 1.0
    assert [breaker.allow_request(priority=True) for _ in range(2)] == [True, False]
    assert not breaker.allow_request()


def test_another_failure_starts_a_new_period(breaker, clock):
    breaker.record_failure()
    clock.time += 0.9
    breaker.record_failure()
    clock.time += 0.9
    assert not breaker.allow_request()


def test_a_success_closes_it(breaker):
    breaker.record_failure()
    breaker.record_success()
    assert breaker.closed
    assert breaker.allow_request()
