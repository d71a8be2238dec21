"""Calls that can be given up, whatever they are doing."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, wait
from contextlib import suppress
from typing import Any, TypeVar

from adsfetch.errors import StuckError
from adsfetch.fetch.throttle import Stopped

Result = TypeVar("Result")


class Calls:
    """Run each call in a daemon thread of its own, which can be left behind.

    A thread cannot be stopped from outside. One that hangs must therefore neither hold a
    worker, nor keep the process from ending, nor have any way to do harm when it wakes up.
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
                raise StuckError(f"no answer within {timeout:g} s; the call was left behind")
            return future.result()
        finally:
            with self._lock:
                self._open.discard(future)

    def close(self) -> None:
        """Wake everybody who waits for a call, with Stopped."""
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
        threading.Thread(target=_settle, args=(future, call), name="ads-call", daemon=True).start()
        return future


def _settle(future: Future[Result], call: Callable[[], Result]) -> None:
    """Put the outcome of a call where its worker waits, if it still does."""
    with suppress(InvalidStateError):
        try:
            future.set_result(call())
        except InvalidStateError:
            raise
        except BaseException as error:  # noqa: BLE001 - the worker decides, whatever it is
            future.set_exception(error)
