"""Threads that run while a block runs, and waiting for a condition."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Self


class WorkerThreads:
    """Run each task in a thread until the block ends; then raise the first error of a task.

    Tasks have to return soon after ``stopping`` is set.
    """

    def __init__(self, *tasks: Callable[[], object]) -> None:
        self.stopping = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=partial(self._run, task)) for task in tasks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised in __exit__
            self._errors.append(error)


def wait_until(condition: Callable[[], object], timeout: float, interval: float = 0.01) -> bool:
    """Wait for ``condition``; return False if it is still false after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
