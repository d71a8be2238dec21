"""What the day files themselves say, against what the manifest says of them."""

import csv
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, tzinfo
from pathlib import Path

from adsfetch.storage.csv import read_rows
from adsfetch.storage.manifest import Entry

DELETED = "its file was deleted"
CHANGED = "its file was cut or edited"


def day_files(folder: Path) -> dict[date, os.stat_result]:
    """Return the size and times of each day file, in one pass over the folder."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as files:
        return {day: file.stat() for file in files if (day := day_of(file.name))}


def day_of(name: str) -> date | None:
    """Return the day that a file is named after."""
    stem, dot, suffix = name.partition(".")
    try:
        return date.fromisoformat(stem) if dot + suffix == ".csv" and len(stem) == 10 else None  # noqa: PLR2004
    except ValueError:
        return None


def checked(entry: Entry, path: Path, stat: os.stat_result | None, *, thorough: bool) -> Entry:
    """Return the entry as its file deserves; unless ``thorough``, read only what looks touched."""
    if not entry.sha256:
        return entry
    if stat is None:
        return replace(entry, problem=DELETED)
    untouched = (stat.st_size, stat.st_mtime_ns) == (entry.size, entry.changed)
    if entry.held and untouched and not thorough:
        return entry
    if digest(path) != entry.sha256:
        return replace(entry, problem=CHANGED)
    return replace(entry, changed=stat.st_mtime_ns, problem="")


def adopted(path: Path, day: date, columns: tuple[str, ...], zone: tzinfo | None) -> Entry | None:
    """Return the entry of a file that the manifest has lost; None when the file is not ours.

    A day file has its name only after it was complete on the disk, so one that reads well
    with the columns of the dataset is a day whose entry was lost, by a crash or by hand.
    """
    rows = count_rows(path, columns)
    if rows is None:
        return None
    stat = path.stat()
    fetched_on = datetime.fromtimestamp(stat.st_mtime, zone).date()
    return Entry(day, rows, stat.st_size, digest(path), fetched_on, stat.st_mtime_ns)


def header(path: Path) -> tuple[str, ...]:
    """Return the columns that a file names; nothing when it is empty or no CSV."""
    with suppress(csv.Error, ValueError):
        return tuple(next(read_rows(path), ()))
    return ()


def count_rows(path: Path, columns: tuple[str, ...]) -> int | None:
    """Return the number of rows, or None when a file is not of this shape or cut."""
    if path.stat().st_size == 0:
        return 0
    try:
        lines = read_rows(path)
        if tuple(next(lines)) != columns or not ends_whole(path):
            return None
        return sum(1 for _ in same_width(lines, len(columns)))
    except (csv.Error, ValueError):
        return None


def same_width(lines: Iterator[list[str]], width: int) -> Iterator[list[str]]:
    """Yield lines; raise ValueError at one with more or fewer cells."""
    for line in lines:
        if len(line) != width:
            raise ValueError(f"{len(line)} cells instead of {width}")
        yield line


def ends_whole(path: Path) -> bool:
    """Tell whether the last line has its end."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
