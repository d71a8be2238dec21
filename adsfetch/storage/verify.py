"""Compare the files of the days with the manifest."""

import csv
import hashlib
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, tzinfo
from pathlib import Path

from adsfetch.storage.csv import read_rows
from adsfetch.storage.manifest import Entry

DELETED = "its file was deleted"
CHANGED = "its file was truncated or edited"


def day_files(folder: Path) -> dict[date, os.stat_result]:
    """Return the size and times of each day's file, in one pass over the folder."""
    if not folder.is_dir():
        return {}
    with os.scandir(folder) as files:
        return {day: file.stat() for file in files if (day := day_of(file.name))}


def day_of(name: str) -> date | None:
    """Return the day in a name such as 2024-02-27.csv; None for any other name."""
    try:
        day = date.fromisoformat(name.removesuffix(".csv"))
    except ValueError:
        return None
    return day if name == f"{day}.csv" else None


def check_entry(entry: Entry, path: Path, stat: os.stat_result | None, *, thorough: bool) -> Entry:
    """Return the entry, with a problem if its file is deleted or changed.

    Unless ``thorough``, only a file whose size or modification time has changed is read.
    """
    if not entry.sha256:
        return entry
    if stat is None:
        return replace(entry, problem=DELETED)
    unchanged = (stat.st_size, stat.st_mtime_ns) == (entry.size, entry.changed)
    if entry.is_stored and unchanged and not thorough:
        return entry
    if sha256_of(path) != entry.sha256:
        return replace(entry, problem=CHANGED)
    return replace(entry, changed=stat.st_mtime_ns, problem="")


def recover_entry(
    path: Path, day: date, columns: tuple[str, ...], zone: tzinfo | None
) -> Entry | None:
    """Return the entry of a file that the manifest does not list; None if it is not a day's file.

    A file gets the name of its day only after it is complete on the disk. So one that parses
    with the columns of the dataset is a day whose entry was lost, by a crash or by hand.
    """
    rows = count_rows(path, columns)
    if rows is None:
        return None
    stat = path.stat()
    fetched_on = datetime.fromtimestamp(stat.st_mtime, zone).date()
    return Entry(day, rows, stat.st_size, sha256_of(path), fetched_on, stat.st_mtime_ns)


def read_header(path: Path) -> tuple[str, ...]:
    """Return the columns in the first line; an empty tuple for an empty file or invalid CSV."""
    with suppress(csv.Error, ValueError):
        return tuple(next(read_rows(path), ()))
    return ()


def count_rows(path: Path, columns: tuple[str, ...]) -> int | None:
    """Return the number of rows; None for other columns, invalid CSV or an incomplete file."""
    if path.stat().st_size == 0:
        return 0
    try:
        lines = read_rows(path)
        if tuple(next(lines)) != columns or not ends_with_newline(path):
            return None
        widths = Counter(map(len, lines))
    except (csv.Error, ValueError):
        return None
    return widths.total() if widths.keys() <= {len(columns)} else None


def ends_with_newline(path: Path) -> bool:
    """Return whether the last line is complete."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
