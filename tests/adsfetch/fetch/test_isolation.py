"""Whatever the code of a source does costs its day only; hanging calls are abandoned."""

import asyncio
import builtins
import subprocess
import sys
import threading

import pytest

import adsfetch
from adsfetch import DayFailure, DayReport, fetch_days
from adsfetch.fetch.jobs import Job
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.pool import as_list, fetch_jobs
from adsfetch.storage.staging import Staging
from tests.adsfetch.fetch.scenarios import DAYS, QUICK, one_row, outcomes
from tests.waiting import PATIENCE


class Unreadable(Exception):
    """An exception whose words cannot be read."""

    cause = ["not", "a", "text"]  # noqa: RUF012 - an attribute that happens to have our name

    def __str__(self):
        raise RuntimeError("no words")

    __repr__ = __str__


class Unnamed(type):
    @property
    def __name__(cls):
        raise SystemExit("no name")


def without_name():
    """Return an exception whose class has no name; pytest would read it in the module."""
    return Unnamed("WithoutName", (Exception,), {})()


class WithoutClass(Exception):
    """An exception that does not say what it is."""

    @property
    def __class__(self):
        raise SystemExit("no class")


class WithoutCause(adsfetch.AdsError):
    """One of our exceptions that does not say why."""

    @property
    def cause(self):
        raise SystemExit("no cause")


class EndsTheProgram:
    """A value that ends the program when it is read."""

    def __str__(self):
        raise SystemExit(0)

    __float__ = __str__


class UnreadableCause(adsfetch.AdsError):
    cause = EndsTheProgram()


class UnreadableDelay(adsfetch.RateLimitError):
    def __init__(self):
        Exception.__init__(self, "slow down")
        self.retry_after = EndsTheProgram()


class InterruptingDelay(adsfetch.RateLimitError):
    def __init__(self):
        Exception.__init__(self, "slow down")

    @property
    def retry_after(self):
        raise KeyboardInterrupt


class NoRows:
    """An object that fails at whatever is asked of it."""

    def __getattribute__(self, name):
        raise RuntimeError(f"no {name}")


class BadRow(dict):
    """A row that fails when it is read."""

    def keys(self):
        raise SystemExit(3)

    def __iter__(self):
        raise GeneratorExit

    def __len__(self):
        raise KeyboardInterrupt


def raising(error):
    def source(_day):
        raise error

    return source


def raising_late(error):
    def source(day):
        yield {"date": day}
        raise error

    return source


ERRORS = [
    SystemExit(0),
    SystemExit("enough"),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopIteration(),
    StopAsyncIteration(),
    RecursionError(),
    MemoryError(),
    RuntimeError(),
    OSError(),
    KeyError(),
    Unreadable(),
    BaseExceptionGroup("many", [SystemExit(1), ValueError("a\nb")]),
    ExceptionGroup("many", [ValueError("\x1b[31mred\u202e")]),
    RuntimeError("x" * 100_000),
    RuntimeError("two\r\nlines\x00\x07\u2028\ud800"),
]


@pytest.mark.parametrize(
    "kind", [without_name, WithoutClass, WithoutCause, UnreadableCause, Unreadable]
)
def test_an_exception_that_cannot_be_read_costs_its_day_only(kind):
    def source(day):
        if day == DAYS[2]:
            raise kind()
        return one_row(day)

    found = outcomes(source)
    assert found[DAYS[2]].reason.startswith("DayError: the source raised ")
    assert sum(isinstance(outcome, DayReport) for outcome in found.values()) == 4


@pytest.mark.parametrize("kind", [UnreadableDelay, InterruptingDelay])
def test_a_delay_that_cannot_be_read_is_none(kind):
    def source(day):
        if day == DAYS[2]:
            raise kind()
        return one_row(day)

    found = outcomes(source)
    assert "slow down" in found[DAYS[2]].reason
    assert sum(isinstance(outcome, DayReport) for outcome in found.values()) == 4


@pytest.mark.parametrize("number", range(len(ERRORS)))
@pytest.mark.parametrize("kind", [raising, raising_late])
def test_whatever_a_source_raises_costs_its_day_only(kind, number):
    error = ERRORS[number]
    bad = kind(error)
    found = outcomes(lambda day: bad(day) if day == DAYS[2] else one_row(day))
    failed = [outcome for outcome in found.values() if isinstance(outcome, DayFailure)]
    assert [failure.day for failure in failed] == [DAYS[2]]
    assert len(found) == len(DAYS)
    reason = failed[0].reason
    assert type(error).__name__ in reason or kind is raising_late
    assert reason
    assert reason.isprintable()
    assert len(reason) <= 500


@pytest.mark.parametrize(
    "rows",
    [
        NoRows,
        lambda: [NoRows()],
        lambda: 7,
        lambda: None,
        lambda: "text",
        lambda: [BadRow(date=1, clicks=1)],
        lambda: [{"date": 1, "clicks": NoRows()}],
        lambda: [{1: 2, None: 3}],
        lambda: [{str(number): number for number in range(100_000)}],
    ],
)
def test_whatever_a_source_returns_costs_its_day_only(tmp_path, rows):
    keep = Staging(tmp_path, ("date", "clicks"), escape_formulas=False).write
    found = outcomes(lambda day: rows() if day == DAYS[2] else one_row(day), keep=keep)
    failed = [outcome for outcome in found.values() if isinstance(outcome, DayFailure)]
    assert [failure.day for failure in failed] == [DAYS[2]]
    assert 0 < len(failed[0].reason) <= 500


def test_one_of_our_errors_in_a_group_means_what_it_means_alone():
    calls = []

    def source(day):
        calls.append(day)
        if len(calls) == 1:
            inner = ExceptionGroup("inner", [adsfetch.RateLimitError("0.01")])
            raise ExceptionGroup("outer", [ValueError("x"), inner])
        return one_row(day)

    metrics = CallMetrics()
    assert isinstance(outcomes(source, DAYS[:1], metrics=metrics)[DAYS[0]], DayReport)
    assert metrics.retries == {"rate limit": 1}


def test_an_iterator_of_ones_own_may_raise_anything():
    class Rows:
        def __iter__(self):
            return self

        def __next__(self):
            raise SystemExit

    found = outcomes(lambda day: Rows() if day == DAYS[2] else one_row(day))
    assert found[DAYS[2]].reason == "DayError: the source raised SystemExit"
    assert sum(isinstance(outcome, DayReport) for outcome in found.values()) == 4


def test_a_generator_is_closed_in_the_thread_of_its_call_also_if_that_raises():
    closed = []

    def source(day):
        try:
            yield {"date": day}
            yield {"date": day}
        finally:
            closed.append(threading.current_thread().name)
            raise SystemExit("at the end")

    def keep(_day, rows):
        next(iter(rows))
        raise adsfetch.DayError("one row is enough")

    found = outcomes(source, DAYS[:1], keep=keep)
    assert found[DAYS[0]].reason == "DayError: one row is enough"
    assert closed == ["ads-call"]


def test_a_hanging_call_is_abandoned_and_blocks_no_worker():
    stuck = threading.Event()

    def source(day):
        if day == DAYS[2]:
            stuck.wait()
        return one_row(day)

    hanging = Job(source, [DAYS[2]], as_list, timeout=0.1)
    others = Job(source, [day for day in DAYS if day != DAYS[2]], as_list)
    found = [outcome for _, outcome in fetch_jobs([hanging, others], workers=1, retry=QUICK)]
    stuck.set()
    (failed,) = [outcome for outcome in found if isinstance(outcome, DayFailure)]
    assert isinstance(failed.error, builtins.TimeoutError)
    assert isinstance(failed.error, adsfetch.TimeoutError)
    assert (failed.day, failed.tries) == (DAYS[2], 1)
    assert sum(isinstance(outcome, DayReport) for outcome in found) == 4


def test_a_hanging_iterator_is_abandoned_too():
    stuck = threading.Event()

    def source(day):
        yield {"date": day}
        stuck.wait()

    found = outcomes(source, DAYS[:1], timeout=0.2)
    stuck.set()
    assert isinstance(found[DAYS[0]].error, adsfetch.TimeoutError)


def test_endless_rows_are_not_read_any_more_when_the_call_is_abandoned():
    ended = threading.Event()

    def source(day):
        try:
            while True:
                yield {"date": day}
        finally:
            ended.set()

    def keep(_day, rows):
        for _ in rows:
            pass

    found = list(fetch_days(source, DAYS[:1], keep=keep, timeout=0.2, retry=QUICK))
    assert isinstance(found[0].error, adsfetch.TimeoutError)
    assert ended.wait(PATIENCE)


def test_a_process_with_a_hanging_source_ends(tmp_path):
    program = (
        "import time; from datetime import date; from adsfetch import fetch_days\n"
        "print(list(fetch_days(lambda day: time.sleep(600), [date(2024, 1, 1)], timeout=0.2)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert "StuckError" in done.stdout
