"""The one place that runs the code of a source: its import, its call and its rows.

It runs in a thread of its own, within a time limit. Whatever it raises becomes an exception
that costs one day.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from datetime import date
from functools import partial
from typing import Any, TypeVar

from adsfetch.errors import AdsError, DayError, StuckError, describe
from adsfetch.fetch.throttle import Stopped
from adsfetch.sources import FetchData

Result = TypeVar("Result")
IsAbandoned = Callable[[], bool]


def call_isolated(
    call: Callable[[IsAbandoned], Result], timeout: float | None, end_of_run: "Future[Any]"
) -> Result:
    """Make a call in a daemon thread of its own; raise StuckError after ``timeout`` seconds.

    Raise Stopped as soon as ``end_of_run`` is done. In both cases the call is abandoned: a thread
    cannot be stopped from outside. So a hanging call must not block a worker, must not prevent
    the process from ending, and must do no harm when it continues later. The call is told by
    its argument, a function, whether it is abandoned.
    """
    if end_of_run.done():
        raise Stopped
    future: Future[Result] = Future()
    abandoned = threading.Event()
    arguments = (future, call, abandoned.is_set)
    threading.Thread(target=set_outcome, args=arguments, name="ads-call", daemon=True).start()
    wait([future, end_of_run], timeout, FIRST_COMPLETED)
    if future.done():
        return future.result()
    abandoned.set()
    if end_of_run.done():
        raise Stopped
    raise StuckError(f"no response within {timeout:g} s; the call was abandoned")


def set_outcome(
    future: "Future[Result]", call: Callable[[IsAbandoned], Result], is_abandoned: IsAbandoned
) -> None:
    """Store the result or the error of a call for the worker that waits for it."""
    try:
        future.set_result(call(is_abandoned))
    except BaseException as error:  # noqa: BLE001 - code of others may raise any of them
        future.set_exception(as_exception(error))


def as_exception(error: BaseException) -> Exception:
    """Return the error itself, or a DayError for one that other threads cannot handle safely.

    SystemExit would end the worker, StopIteration a loop of ours, Stopped the day without a word,
    and an exception with a broken attribute whoever looks at it.
    """
    with suppress(BaseException):
        error = first_of_ours(error)
        _ = str(error), type(error).__name__, str(getattr(error, "cause", ""))
        if isinstance(error, Exception) and not isinstance(error, StopIteration | Stopped):
            return error
    return DayError(f"the source raised {describe(error)}")


def first_of_ours(error: BaseException) -> BaseException:
    """Return the first of our errors in a group, as TaskGroup raises it; else the error itself."""
    while isinstance(error, BaseExceptionGroup) and (ours := error.subgroup(AdsError)):
        error = ours.exceptions[0]
    return error


def fetch_rows(
    fetch_data: FetchData,
    day: date,
    keep: Callable[[date, Iterable[Any]], Result],
    is_abandoned: IsAbandoned,
) -> Result:
    """Call the source for a day, and return what ``keep`` makes of the rows."""
    rows = fetch_data(day)
    if not isinstance(rows, Iterable):
        raise DayError(f"the source returned {type(rows).__name__}, not rows")
    return read_rows(rows, partial(keep, day), is_abandoned)


def read_rows(
    rows: Iterable[Any], keep: Callable[[Iterable[Any]], Result], is_abandoned: IsAbandoned
) -> Result:
    """Return what ``keep`` makes of the rows; then close a generator that is not at its end.

    Otherwise the garbage collector would close it, in any thread and without a time limit.
    """
    iterator = iter(rows)
    try:
        return keep(until_abandoned(iterator, is_abandoned))
    finally:
        if isinstance(iterator, Generator):
            with suppress(BaseException):  # the error of the day is the one before
                iterator.close()


def until_abandoned(rows: Iterator[Any], is_abandoned: IsAbandoned) -> Iterator[Any]:
    """Yield the rows; an endless source must not write to the disk when nobody waits for it."""
    for row in rows:
        if is_abandoned():
            raise Stopped
        yield row
