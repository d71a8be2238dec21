"""Calls with a time limit that holds whatever the call is doing."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from typing import Any, TypeVar

from adsfetch.errors import StuckError
from adsfetch.fetch.throttle import Stopped

Result = TypeVar("Result")


class AbandonableCalls:
    """Run each call in a daemon thread of its own, which can be abandoned.

    A thread cannot be stopped from outside. A hanging one must therefore not block a worker,
    must not keep the process from ending, and must do no harm when it continues later.
    """

    def __init__(self) -> None:
        self._open: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, call: Callable[[], Result], timeout: float | None) -> Result:
        """Return what the call returns; raise StuckError when it takes over ``timeout`` seconds."""
        future: Future[Result] = self._start(call)
        try:
            wait([future], timeout)
            if not future.done():
                raise StuckError(f"no response within {timeout:g} s; the call was abandoned")
            return future.result()
        finally:
            with self._lock:
                self._open.discard(future)

    def close(self) -> None:
        """Raise Stopped in every worker that waits for a call."""
        with self._lock:
            self._closed = True
            for future in self._open:
                with suppress(InvalidStateError):
                    future.set_exception(Stopped())

    def _start(self, call: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        with self._lock:
            if self._closed:
                raise Stopped
            self._open.add(future)
        thread = threading.Thread(
            target=_set_outcome, args=(future, call), name="ads-call", daemon=True
        )
        thread.start()
        return future


def _set_outcome(future: Future[Result], call: Callable[[], Result]) -> None:
    """Give the outcome of a call to its worker, unless the worker has abandoned it."""
    with suppress(InvalidStateError):
        try:
            future.set_result(call())
        except InvalidStateError:
            raise
        except BaseException as error:  # noqa: BLE001 - the worker handles all of them
            future.set_exception(error)
