"""Files that are written completely or not at all, even after a power cut."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from adsfetch.errors import StoreError

SUFFIX = ".part"


@contextmanager
def temporary_file(target: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``target``, or beside the file that it links to.

    At the end its content has reached the disk; on any error it is deleted. Wrap each write
    in ``disk_errors``: an OSError of anything else in the block is not that of the disk.
    """
    with disk_errors(target):
        real = linked_file(target)
        path = temporary_path(real)
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


def temporary_path(target: Path) -> Path:
    """Return a new path beside a file, which ``remove_leftovers`` finds after a kill."""
    return target.with_name(f".{target.name}.{uuid4().hex[:12]}{SUFFIX}")


def move_into_place(temp: Path, target: Path) -> None:
    """Rename a complete file, and flush the folder, so that the rename survives a power cut.

    The file keeps the mode, the owner and the attributes of the one that it replaces. A link
    stays: the file that it names is replaced. On an error the temporary file is deleted.
    """
    with disk_errors(target):
        real = linked_file(target)
        try:
            with suppress(FileNotFoundError):
                copy_attributes(real, temp)
            temp.replace(real)
        except OSError:
            with suppress(OSError):
                temp.unlink()
            raise
        folder = os.open(real.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def linked_file(path: Path) -> Path:
    """Return the file to which a symbolic link leads; any other path unchanged.

    Raise OSError for a device or a pipe, which is neither waited for nor replaced.
    """
    real = Path(os.path.realpath(path)) if path.is_symlink() else path
    if real.exists() and not (real.is_file() or real.is_dir()):
        raise OSError(errno.EINVAL, "it is a device or a pipe")
    return real


def copy_attributes(source: Path, target: Path) -> None:
    """Give a file the owner, the mode and the access list of another, as far as that is allowed."""
    old, new = source.stat(), target.stat()
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        for owner in (old.st_uid, -1):  # only root may give a file away; -1 changes the group only
            with suppress(OSError):
                os.chown(target, owner, old.st_gid)
                break
    with suppress(OSError):
        target.chmod(stat.S_IMODE(old.st_mode) | stat.S_IRUSR)  # we read it again
    with suppress(OSError):
        for name in os.listxattr(source):
            os.setxattr(target, name, os.getxattr(source, name))


def write_file(target: Path, content: bytes) -> None:
    """Replace a small file as a whole."""
    with temporary_file(target) as temp, disk_errors(target):
        temp.write(content)
    move_into_place(Path(temp.name), target)


def append_line(path: Path, line: bytes) -> None:
    """Add a line, which ends with a newline, and return after it has reached the disk."""
    with disk_errors(path), path.open("ab+") as file:
        file.write(b"\n" + line if ends_mid_line(file) else line)
        file.flush()
        os.fsync(file.fileno())


def ends_mid_line(file: BinaryIO) -> bool:
    """Return whether a crash has cut the last line: the next one must not be joined to it."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")


def remove_leftovers(target: Path) -> None:
    """Delete the temporary files of killed runs, for one file, or for all files in a folder."""
    real = linked_file(target)
    folder, name = (real, "*") if real.is_dir() else (real.parent, escape(real.name))
    for temp in folder.glob(f".{name}.{'[0-9a-f]' * 12}{SUFFIX}"):
        temp.unlink(missing_ok=True)


@contextmanager
def disk_errors(target: Path) -> Iterator[None]:
    """Turn a full disk or a read-only folder into a StoreError, which ends the run."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        # Path.is_file raises an error for a path that cannot be looked at.
        kept = "; its old content is intact" if os.path.isfile(target) else ""  # noqa: PTH113
        raise StoreError(f"cannot write {target}: {reason}{kept}") from error


def read_file(path: Path) -> bytes:
    """Return the content of a small file; nothing if there is none."""
    with read_errors(path):
        real = linked_file(path)
        return real.read_bytes() if real.exists() else b""


@contextmanager
def read_errors(path: Path) -> Iterator[None]:
    """Turn a file that cannot be read into a StoreError."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
