"""Compare the files of the days with the manifest."""

import csv
import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from datetime import date, datetime, tzinfo
from itertools import islice
from pathlib import Path

from adsfetch.storage.atomic import read_errors
from adsfetch.storage.csv import DATE_COLUMNS, RowEncoder, read_rows
from adsfetch.storage.row_dates import RowDates
from adsfetch.storage.states import Entry, Event, Record

DELETED = "its file was deleted"
NO_FILE = "there is something else in the place of its file"
CHANGED = "its file was truncated or edited"
ROWS_AT_ONCE = 1000


def day_files(folder: Path) -> dict[date, os.stat_result]:
    """Return the size and times of each day's file, in one pass over the folder."""
    if not folder.is_dir():
        return {}
    found = {}
    with read_errors(folder), os.scandir(folder) as files:
        for file in files:
            with suppress(FileNotFoundError):  # deleted a moment ago
                if (day := day_of(file.name)) and is_own_file(file):
                    found[day] = file.stat()
    return found


def is_own_file(path: "os.PathLike[str]") -> bool:
    """Return whether a path is a regular file, or a link to one with the same name.

    A link to a file with another name may lead to that of another day.
    """
    if not os.path.islink(path):  # noqa: PTH114 - Path would make an object for every file
        return os.path.isfile(path)  # noqa: PTH113
    real = Path(os.path.realpath(path))
    return real.is_file() and real.name == Path(path).name


def day_of(name: str) -> date | None:
    """Return the day in a name such as 2024-02-27.csv; None for any other name."""
    try:
        day = date.fromisoformat(name.removesuffix(".csv"))
    except ValueError:
        return None
    return day if name == f"{day}.csv" else None


def check_entry(entry: Entry, path: Path, stat: os.stat_result | None, *, thorough: bool) -> Entry:
    """Return the entry after a look at its file.

    Unless ``thorough``, only a file whose size or modification time has changed is read.
    """
    if not entry.sha256:
        return entry
    if stat is None:
        return entry.after(Event.LOST, NO_FILE if os.path.lexists(path) else DELETED)
    unchanged = (stat.st_size, stat.st_mtime_ns) == (entry.size, entry.changed)
    if entry.is_held and unchanged and not thorough:
        return entry
    try:
        return read_entry(entry, path, stat, thorough=thorough)
    except OSError as error:
        return entry.after(Event.LOST, f"its file cannot be read: {error.strerror}")


def read_entry(entry: Entry, path: Path, stat: os.stat_result, *, thorough: bool) -> Entry:
    """Return the entry after its file has been read."""
    if sha256_of(path) != entry.sha256:
        return entry.after(Event.LOST, CHANGED)
    if thorough and (problem := problem_of_rows(path, entry.day)):
        # The file is as it was recorded, so the record is what was wrong.
        return replace(entry.after(Event.LOST, problem), sha256="")
    found = replace(entry.after(Event.FOUND), changed=stat.st_mtime_ns)
    if entry.record is Record.UNAVAILABLE:  # its date is not that of the rows
        found = replace(found, fetched_on=min(entry.day, entry.fetched_on))
    return found


def recover_entry(
    path: Path, day: date, columns: tuple[str, ...], zone: tzinfo | None
) -> Entry | None:
    """Return the entry of a file that the manifest does not list; None if it is not a day's file.

    A file gets the name of its day only after it is complete on the disk. So one that parses
    with the columns of the dataset, and has the rows of its day, is a day whose entry was lost,
    by a crash or by hand. Nothing proves an empty file: it may have been truncated.
    """
    try:
        stat, dates = path.stat(), read_day(path, day, columns)
        if dates is None or dates.wrong:
            return None
        fetched_on = datetime.fromtimestamp(stat.st_mtime, zone).date()
        return Entry(day, dates.rows, stat.st_size, sha256_of(path), fetched_on, stat.st_mtime_ns)
    except (OSError, OverflowError):
        return None


def read_header(path: Path) -> tuple[str, ...]:
    """Return the columns in the first line; an empty tuple for what is not the file of a day.

    Every dataset has a column with the date.
    """
    with suppress(csv.Error, ValueError, OSError):
        names = tuple(next(read_rows(path), ()))
        if len(set(names)) == len(names) and DATE_COLUMNS & set(names):
            return names
    return ()


def read_day(path: Path, day: date, columns: tuple[str, ...]) -> RowDates | None:
    """Count the rows of a file and their dates; None for other columns or an incomplete file."""
    dates = RowDates(day)
    if not columns or not has_frame(path, RowEncoder(columns).header):
        return None
    try:
        lines = islice(read_rows(path), 1, None)
        while chunk := list(islice(lines, ROWS_AT_ONCE)):
            if {*map(len, chunk)} != {len(columns)}:
                return None
            dates.add_columns(columns, list(zip(*chunk, strict=True)))
    except (csv.Error, ValueError):
        return None
    return dates


def problem_of_rows(path: Path, day: date) -> str:
    """Return what is wrong with the dates in an intact file; an empty string if nothing is."""
    dates = read_day(path, day, read_header(path))
    return dates.problem if dates else ""


def has_frame(path: Path, header: bytes) -> bool:
    """Return whether a file starts with exactly this header, and its last line is complete.

    A program that edits CSV may write the same names with other quotes or line ends.
    """
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
