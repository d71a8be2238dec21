"""The files that options name (--html, --metrics-file): none of them replaces one of a dataset."""

import os
from pathlib import Path

from adsfetch.errors import UsageError
from adsfetch.storage.atomic import disk_errors, write_file
from adsfetch.storage.store import OWN_FILES
from adsfetch.storage.verify import day_of

STREAMS = ("/dev/", "/proc/")


def check_output_file(path: Path, out: Path) -> None:
    """Raise UsageError if a path is a file of a dataset, or has a hard link to one in ``out``."""
    if belongs_to_dataset(path, out):
        raise UsageError(f"{path} is a file of a dataset: choose another name")


def write_output_file(path: Path, text: str) -> None:
    """Replace a file by the text; write into what is no regular file, such as a pipe."""
    content = text.encode(errors="replace")  # the name of a folder may be any bytes
    if is_stream(path):
        with disk_errors(path), path.open("wb") as stream:
            stream.write(content)
    else:
        write_file(path, content)


def belongs_to_dataset(path: Path, out: Path) -> bool:
    """Return whether a path, or what it links to, is a file of a dataset."""
    real = Path(os.path.realpath(path))
    return (
        (real.name in OWN_FILES and (real.parent / "days").is_dir())
        or (real.parent.name == "days" and day_of(real.name) is not None)
        or (path.is_file() and path.stat().st_nlink > 1 and has_link_in(out, path))
    )


def has_link_in(out: Path, path: Path) -> bool:
    """Return whether a file with several names is one of a dataset in this folder."""
    return any(file.samefile(path) for name in OWN_FILES for file in out.glob(f"*/{name}"))


def is_stream(path: Path) -> bool:
    """Return whether a path is a device or a pipe, or leads to one as /dev/stdout may do."""
    special = path.exists() and not path.is_file()
    return special or f"{path.absolute()}".startswith(STREAMS)
