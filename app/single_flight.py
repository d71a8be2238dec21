"""Single flight: when several threads want the same result at once, one of them computes it."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
WAIT_SECONDS = 10.0


class SingleFlight:
    """The calls in progress, by key."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls: dict[Hashable, Future[Any]] = {}

    def do(self, key: Hashable, make: Callable[[], T]) -> tuple[T, bool]:
        """Return the result of ``make``, and whether another thread computed it.

        An exception is raised in all waiting threads. A thread that has waited for WAIT_SECONDS
        calls ``make`` itself.
        """
        mine: Future[T] = Future()
        with self._lock:
            call = self._calls.setdefault(key, mine)
        if call is not mine:
            try:
                return call.result(WAIT_SECONDS), True
            except TimeoutError:
                return make(), False
        try:
            mine.set_result(make())
        except BaseException as error:
            mine.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._calls[key]
        return mine.result(), False
