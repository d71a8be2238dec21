"""Threads that work while a block runs."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Self


class Crew:
    """Runs each of its roles in a thread; what makes one fail is raised when the block ends.

    Roles look at ``stopping`` now and then, and end when it is set.
    """

    def __init__(self, *roles: Callable[[], object]) -> None:
        self.stopping = threading.Event()
        self._failed: list[BaseException] = []
        self._threads = [threading.Thread(target=partial(self._play, role)) for role in roles]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def _play(self, role: Callable[[], object]) -> None:
        try:
            role()
        except BaseException as error:  # noqa: BLE001 - raised again where it is heard
            self._failed.append(error)
