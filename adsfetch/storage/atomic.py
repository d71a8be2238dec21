"""Files that are written completely or not at all, even after a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from adsfetch.errors import StoreError

SUFFIX = ".part"


class TempFile:
    """A temporary file beside its target; every OSError becomes a StoreError."""

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
        """Close the file after its content has reached the disk."""
        with disk_errors(self.target), self._file:
            self._file.flush()
            os.fsync(self._file.fileno())

    def discard(self) -> None:
        """Delete the file."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self.path.unlink()


@contextmanager
def temporary_file(target: Path) -> Iterator[TempFile]:
    """Open a temporary file for ``target``; finish it at the end, or discard it on any error."""
    temp = TempFile(target)
    try:
        yield temp
        temp.finish()
    except BaseException:
        temp.discard()
        raise


def move_into_place(temp: Path, target: Path) -> None:
    """Rename a finished file, and make the rename durable."""
    with disk_errors(target):
        temp.replace(target)
        sync_folder(target.parent)


def write_file(target: Path, content: bytes) -> None:
    """Replace a small file as a whole."""
    with temporary_file(target) as temp:
        temp.write(content)
    move_into_place(temp.path, target)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of killed runs."""
    for temp in folder.glob(f".*{SUFFIX}"):
        temp.unlink(missing_ok=True)


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a StoreError, which ends the run."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"cannot write {target}: {reason}; its old content is intact") from error
