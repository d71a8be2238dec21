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
        if call is mine:
            return self._lead(key, mine, make), False
        try:
            return call.result(WAIT_SECONDS), True
        except TimeoutError:
            return make(), False

    def _lead(self, key: Hashable, call: Future[T], make: Callable[[], T]) -> T:
        try:
            result = make()
        except BaseException as error:
            call.set_exception(error)
            raise
        else:
            call.set_result(result)
            return result
        finally:
            with self._lock:
                del self._calls[key]
