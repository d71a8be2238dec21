"""The files that options name (--html, --metrics-file): none of them replaces one of a dataset."""

import os
from pathlib import Path

from adsfetch.errors import UsageError
from adsfetch.storage.atomic import disk_errors, write_file
from adsfetch.storage.store import OWN_FILES
from adsfetch.storage.verify import day_of

STREAMS = ("/dev/", "/proc/")


def check_output_file(path: Path, folder: Path) -> None:
    """Raise UsageError if a path is a file of the dataset in ``folder``, or of any other."""
    if belongs_to_dataset(path, folder):
        raise UsageError(f"{path} is a file of a dataset: choose another name")


def write_output_file(path: Path, text: str) -> None:
    """Replace a file by the text; write into what is no regular file, such as a pipe."""
    content = text.encode(errors="replace")  # the name of a folder may be any bytes
    if is_stream(path):
        with disk_errors(path), path.open("wb") as stream:
            stream.write(content)
    else:
        write_file(path, content)


def belongs_to_dataset(path: Path, folder: Path) -> bool:
    """Return whether a path, or what it links to, is a file of this or of any dataset."""
    real = Path(os.path.realpath(path))
    own = (folder / name for name in OWN_FILES)
    return (
        (real.name in OWN_FILES and (real.parent / "days").is_dir())
        or (real.parent.name == "days" and day_of(real.name) is not None)
        or (path.exists() and any(file.exists() and file.samefile(path) for file in own))
    )


def is_stream(path: Path) -> bool:
    """Return whether a path is a device or a pipe, or leads to one as /dev/stdout may do."""
    special = path.exists() and not path.is_file()
    return special or f"{path.absolute()}".startswith(STREAMS)
