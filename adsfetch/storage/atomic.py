"""Files that are written completely or not at all, even after a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from adsfetch.errors import StoreError

SUFFIX = ".part"


@contextmanager
def temporary_file(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``target``.

    At the end its content has reached the disk; on any error it is deleted. Wrap each write
    in ``disk_errors``: an OSError of anything else in the block is not that of the disk.
    """
    path = target.with_name(f".{target.name}.{uuid4().hex[:12]}{SUFFIX}")
    with disk_errors(target):
        file = path.open("xb")
    try:
        yield file
        with disk_errors(target), file:
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            file.close()
        with suppress(OSError):
            path.unlink()
        raise


def move_into_place(temp: Path, target: Path) -> None:
    """Rename a complete file, and flush the folder, so that the rename survives a power cut."""
    with disk_errors(target):
        temp.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_file(target: Path, content: bytes) -> None:
    """Replace a small file as a whole."""
    with temporary_file(target) as temp, disk_errors(target):
        temp.write(content)
    move_into_place(Path(temp.name), target)


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
