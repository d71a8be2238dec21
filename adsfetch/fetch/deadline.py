"""Calls with a time limit, also for code that ignores its own timeouts."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, TypeVar

from adsfetch.errors import StuckError
from adsfetch.fetch.throttle import Stopped

Result = TypeVar("Result")


def call_with_deadline(
    call: Callable[[], Result], timeout: float | None, end_of_run: "Future[Any]"
) -> Result:
    """Make a call in a daemon thread of its own; raise StuckError after ``timeout`` seconds.

    Raise Stopped as soon as ``end_of_run`` is done. In both cases the call is abandoned: a thread
    cannot be stopped from outside. So a hanging call must not block a worker, must not prevent
    the process from ending, and must do no harm when it continues later.
    """
    if end_of_run.done():
        raise Stopped
    future: Future[Result] = Future()
    threading.Thread(target=set_outcome, args=(future, call), name="ads-call", daemon=True).start()
    wait([future, end_of_run], timeout, FIRST_COMPLETED)
    if future.done():
        return future.result()
    if end_of_run.done():
        raise Stopped
    raise StuckError(f"no response within {timeout:g} s; the call was abandoned")


def set_outcome(future: "Future[Result]", call: Callable[[], Result]) -> None:
    """Store the result or the error of a call for the worker that waits for it."""
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - the worker handles all of them
        future.set_exception(error)
