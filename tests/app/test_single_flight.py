"""Single flight: one thread computes, the others get its result or its exception."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

import pytest

from app import single_flight
from app.single_flight import SingleFlight
from tests.waiting import PATIENCE


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def joined(monkeypatch):
    """An event that is set when a thread waits for the result of another one."""
    joined = Event()

    class Watched(Future):
        def result(self, timeout=None):
            joined.set()
            return super().result(timeout)

    monkeypatch.setattr(single_flight, "Future", Watched)
    monkeypatch.setattr(single_flight, "WAIT_SECONDS", PATIENCE)
    return joined


class Slow:
    """A function that waits until the test lets it finish."""

    def __init__(self, error=None):
        self.started, self.finish = Event(), Event()
        self.calls = 0
        self.error = error

    def __call__(self):
        self.calls += 1
        self.started.set()
        assert self.finish.wait(PATIENCE)
        if self.error:
            raise self.error
        return self.calls


def test_a_second_caller_gets_the_result_of_the_first(pool, joined):
    flight, slow = SingleFlight(), Slow()
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(PATIENCE)
    second = pool.submit(flight.do, "key", slow)
    assert joined.wait(PATIENCE)
    assert not second.done()
    slow.finish.set()
    assert (first.result(PATIENCE), second.result(PATIENCE)) == ((1, False), (1, True))
    assert flight.do("key", slow) == (2, False)


def test_other_keys_do_not_wait(pool):
    flight, slow = SingleFlight(), Slow()
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(PATIENCE)
    assert flight.do("other", lambda: "result") == ("result", False)
    slow.finish.set()
    first.result(PATIENCE)


def test_an_exception_is_raised_in_every_waiting_thread_and_not_remembered(pool, joined):
    flight, slow = SingleFlight(), Slow(ValueError("failed"))
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(PATIENCE)
    second = pool.submit(flight.do, "key", slow)
    assert joined.wait(PATIENCE)
    assert not second.done()
    slow.finish.set()
    for future in (first, second):
        with pytest.raises(ValueError, match="failed"):
            future.result(PATIENCE)
    assert flight.do("key", lambda: "result") == ("result", False)


def test_a_caller_that_has_waited_long_enough_computes_it_itself(pool, monkeypatch):
    monkeypatch.setattr(single_flight, "WAIT_SECONDS", 0.05)
    flight, slow = SingleFlight(), Slow()
    first = pool.submit(flight.do, "key", slow)
    assert slow.started.wait(PATIENCE)
    assert flight.do("key", lambda: "own") == ("own", False)
    slow.finish.set()
    assert first.result(PATIENCE) == (1, False)
