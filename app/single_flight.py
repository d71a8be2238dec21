"""Single flight: of many threads that want the same thing at once, one makes it for all."""

from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Any, TypeVar

T = TypeVar("T")
WAIT_SECONDS = 10.0


class Flights:
    """The things being made now, by name."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._flying: dict[Hashable, Future[Any]] = {}

    def fly(self, name: Hashable, make: Callable[[], T]) -> tuple[T, bool]:
        """Return what ``make`` makes, and whether another thread made it.

        A failure is everybody's. Who has waited WAIT_SECONDS makes it alone.
        """
        mine: Future[T] = Future()
        with self._lock:
            flight = self._flying.setdefault(name, mine)
        if flight is mine:
            return self._lead(name, mine, make), False
        try:
            return flight.result(WAIT_SECONDS), True
        except TimeoutError:
            return make(), False

    def _lead(self, name: Hashable, flight: Future[T], make: Callable[[], T]) -> T:
        try:
            made = make()
        except BaseException as error:
            flight.set_exception(error)
            raise
        else:
            flight.set_result(made)
            return made
        finally:
            with self._lock:
                del self._flying[name]
