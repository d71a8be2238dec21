"""One run at a time for each dataset."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adsfetch.errors import UsageError
from adsfetch.storage.atomic import disk_errors

PATIENCE_STEP = 0.2


@contextmanager
def only_one(path: Path, wait: float, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a dataset, and wait up to ``wait`` seconds for another run to end.

    The kernel drops the lock with the process, so a killed run never leaves it behind.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not taken(handle):
            say(f"another run is at work on {path.parent}: waiting for it to end")
            insist(handle, path, time.monotonic() + wait)
        yield
    finally:
        os.close(handle)


def taken(handle: int) -> bool:
    """Try to take the lock, and tell whether it worked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def insist(handle: int, path: Path, deadline: float) -> None:
    """Try until the deadline; there is no timed wait for a file lock."""
    while not taken(handle):
        if time.monotonic() >= deadline:
            raise UsageError(f"another run is still at work on {path.parent}; try again later")
        time.sleep(PATIENCE_STEP)
