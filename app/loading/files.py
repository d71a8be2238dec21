"""The files that a user names: an input of any kind, and an output that replaces no other file."""

import io
import os
import secrets
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

HEAD_BYTES = 4_096
SHOWN_CHARACTERS = 200
STANDARD_INPUT = "-"
_STANDARD_STREAMS = (0, 1, 2)
_PERMISSIONS = 0o666


class LoadError(Exception):
    """The load cannot start or continue, for a reason in one line."""


def one_line(text: str) -> str:
    """Return ``text`` as messages show it: printable, in one line, not too long."""
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text[: SHOWN_CHARACTERS + 1])
    return shown if len(text) <= SHOWN_CHARACTERS else f"{shown[:SHOWN_CHARACTERS]}..."


class Input(io.RawIOBase):
    """A file, a pipe or the standard input (``-``), read once from its start to its end.

    ``head`` has its first bytes, which reading returns again. Raise LoadError if it fails.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.name = "the standard input" if path == STANDARD_INPUT else one_line(path)
        self.position = 0
        self.status: os.stat_result | None = None
        try:
            self._file = _open(path)
            with suppress(io.UnsupportedOperation):
                self.status = os.fstat(self._file.fileno())
            self.head = self._unread = self._read_head()
        except (OSError, ValueError) as error:
            raise self._failure(error) from None

    @property
    def size(self) -> int | None:
        """The size in bytes, or None for a pipe or device."""
        is_file = self.status is not None and stat.S_ISREG(self.status.st_mode)
        return self.status.st_size if self.status is not None and is_file else None

    @property
    def rejects_path(self) -> str:
        """The name for rejected rows, unless the user names another one."""
        is_stream = self.path == STANDARD_INPUT or self.path.startswith(("/dev/", "/proc/"))
        return f"{'stdin' if is_stream else self.path}.rejects.csv"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # narrower
        data = self._unread[: len(buffer)]
        self._unread = self._unread[len(data) :]
        try:
            data = data or self._file.read1(len(buffer))
        except OSError as error:
            raise self._failure(error) from None
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def close(self) -> None:
        super().close()
        if self.path != STANDARD_INPUT and hasattr(self, "_file"):
            self._file.close()

    def _read_head(self) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES and (data := self._file.read1(HEAD_BYTES - len(head))):
            head += data
        return head

    def _failure(self, error: OSError | ValueError) -> LoadError:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return LoadError(f"Cannot read {self.name}: {reason}.")


def _open(path: str) -> Any:
    if path != STANDARD_INPUT:
        return Path(path).open("rb")
    if sys.stdin is None:
        raise ValueError("it is closed")
    return sys.stdin.buffer


class Output:
    """A new file that takes its name when it is complete.

    It replaces only an empty file, or one that ``may_replace`` accepts by its first bytes; never
    ``source``, an output of this process, or what is no regular file. Raise LoadError else.
    """

    def __init__(self, path: str, source: Input, may_replace: Callable[[bytes], bool]) -> None:
        self.path = path
        # A symbolic link stays one: the file that it names is replaced.
        self._target = Path(os.path.realpath(path))
        self._source = source
        self._may_replace = may_replace
        try:
            self._check()
            self._draft = self._target.with_name(
                f".{self._target.name[:100]}.{secrets.token_hex(4)}"
            )
            self._descriptor = os.open(
                self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._mode
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise LoadError(
                f"Cannot write {one_line(path)}: {reason}; name another file with --rejects."
            ) from None

    def open(self) -> BinaryIO:
        return os.fdopen(self._descriptor, "wb")

    def keep(self) -> None:
        """Give the file its name. If another file took the name, ``path`` is the present name."""
        try:
            if (replaced := self._check()) is not None:
                with suppress(PermissionError):
                    os.chown(self._draft, replaced.st_uid, replaced.st_gid)
                self._draft.chmod(stat.S_IMODE(replaced.st_mode))
            self._draft.replace(self._target)
        except (OSError, ValueError):
            self.path = str(self._draft)

    def discard(self) -> None:
        """Delete the file, and the one that it would have replaced."""
        self._draft.unlink()
        with suppress(OSError, ValueError):
            if (replaced := self._check()) is not None and replaced.st_size:
                self._target.unlink()

    @property
    def _mode(self) -> int:
        """The permissions of a new file: what is private in the input stays private."""
        if self._source.status is None or self._source.size is None:
            return _PERMISSIONS
        return self._source.status.st_mode & _PERMISSIONS | stat.S_IWUSR

    def _check(self) -> os.stat_result | None:
        """Return the status of the file to replace, if any; raise ValueError if it must stay."""
        if self.path == STANDARD_INPUT or self.path.endswith("/"):
            raise ValueError("a file is required")
        file = Path(self.path)
        try:
            status = file.stat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is no regular file")
        if self._source.status is not None and os.path.samestat(status, self._source.status):
            raise ValueError("it is the file to load")
        if any(os.path.samestat(status, stream) for stream in _standard_streams()):
            raise ValueError("it is the input or output of this command")
        with file.open("rb") as opened:
            if status.st_size and not self._may_replace(opened.read(HEAD_BYTES)):
                raise ValueError("it exists, and is not a file of rejected rows")
        if not os.access(file, os.W_OK):
            raise ValueError("it is write-protected")
        return status


def _standard_streams() -> list[os.stat_result]:
    found = []
    for descriptor in _STANDARD_STREAMS:
        with suppress(OSError):
            found.append(os.fstat(descriptor))
    return found
