"""Single flight: one thread computes, the others get its result or its exception."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from app import single_flight
from app.single_flight import SingleFlight


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


class Slow:
    """A function that waits until the test lets it finish."""

    def __init__(self, error=None):
        self.started, self.finish = Event(), Event()
        self.calls = 0
        self.error = error

    def __call__(self):
        self.calls += 1
        self.started.set()
        assert self.finish.wait(5)
        if self.error:
            raise self.error
        return self.calls


def test_a_second_caller_gets_the_result_of_the_first(pool):
    flight, slow = SingleFlight(), Slow()
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(5)
    second = pool.submit(flight.do, "key", slow)
    with pytest.raises(TimeoutError):
        second.result(0.1)
    slow.finish.set()
    assert (first.result(5), second.result(5)) == ((1, False), (1, True))
    assert flight.do("key", slow) == (2, False)


def test_other_keys_do_not_wait(pool):
    flight, slow = SingleFlight(), Slow()
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(5)
    assert flight.do("other", lambda: "result") == ("result", False)
    slow.finish.set()
    first.result(5)


def test_an_exception_is_raised_in_every_waiting_thread_and_not_remembered(pool):
    flight, slow = SingleFlight(), Slow(ValueError("failed"))
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(5)
    second = pool.submit(flight.do, "key", slow)
    with pytest.raises(TimeoutError):
        second.result(0.1)
    slow.finish.set()
    for future in (first, second):
        with pytest.raises(ValueError, match="failed"):
            future.result(5)
    assert flight.do("key", lambda: "result") == ("result", False)


def test_a_caller_that_has_waited_long_enough_computes_it_itself(pool, monkeypatch):
    monkeypatch.setattr(single_flight, "WAIT_SECONDS", 0.05)
    flight, slow = SingleFlight(), Slow()
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(5)
    assert flight.do("key", lambda: "own") == ("own", False)
    slow.finish.set()
    assert first.result(5) == (1, False)
