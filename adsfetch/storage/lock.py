"""The lock of a dataset: one run at a time."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from adsfetch.errors import LockedError, StoreError
from adsfetch.storage.atomic import disk_errors

POLL_SECONDS = 0.2


@contextmanager
def exclusive_lock(path: Path, wait: float, notify: Callable[[str], None]) -> Iterator[None]:
    """Hold the lock of a dataset; wait up to ``wait`` seconds for another run to end.

    The kernel releases the lock with the process, so a killed run leaves no lock behind. Raise
    LockedError if the other run is still there, StoreError if the file system has no locks.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if not try_lock(handle, path):
            notify(f"another run uses {path.parent}: waiting for it to end")
            deadline = time.monotonic() + wait
            while not try_lock(handle, path):  # flock has no timeout
                if time.monotonic() >= deadline:
                    raise LockedError(f"another run still uses {path.parent}; try again later")
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(handle)


def try_lock(handle: int, path: Path) -> bool:
    """Try to take the lock, and return whether it worked."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StoreError(
            f"cannot lock {path}: {error.strerror}; use a folder on a file system with locks"
        ) from error
    return True
