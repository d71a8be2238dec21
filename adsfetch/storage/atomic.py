"""Files that are there whole or not at all, whenever the power goes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from adsfetch.errors import StoreError

SUFFIX = ".part"


class Part:
    """An unfinished file beside its target; every trouble with the disk is a StoreError."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(f".{target.name}.{uuid4().hex[:12]}{SUFFIX}")
        with disk_errors(target):
            self._file = self.path.open("xb")

    def write(self, content: bytes) -> None:
        """Append to the file."""
        with disk_errors(self.target):
            self._file.write(content)

    def finish(self) -> None:
        """Return only when the disk has what was written."""
        with disk_errors(self.target), self._file:
            self._file.flush()
            os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Leave nothing behind."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink()


@contextmanager
def writing(target: Path) -> Iterator[Part]:
    """Open a part of ``target``; finish it at the end, or discard it on any error."""
    part = Part(target)
    try:
        yield part
        part.finish()
    except BaseException:
        part.discard()
        raise


def put_in_place(part: Path, target: Path) -> None:
    """Give a finished file its name, and have the folder remember it."""
    with disk_errors(target):
        part.replace(target)
        sync_folder(target.parent)


def replace(target: Path, content: bytes) -> None:
    """Write a small file whole."""
    with writing(target) as part:
        part.write(content)
    put_in_place(part.path, target)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Delete the unfinished files of runs that were killed."""
    for part in folder.glob(f".*{SUFFIX}"):
        part.unlink(missing_ok=True)


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into an error that ends the run."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"cannot write {target}: {reason}; what was there is untouched") from error
