"""The record of which days are held: one line of JSON for each change, never rewritten in place."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from adsfetch.storage import atomic as durable


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of one day; with a ``problem`` the day counts as not held.

    ``fetched_on`` is the account's day on which the fetch began, ``changed`` the file's
    time of change in nanoseconds, by which an untouched file is known without reading it.
    """

    day: date
    rows: int = 0
    size: int = 0
    sha256: str = ""
    fetched_on: date = date.min
    changed: int = 0
    problem: str = ""

    @property
    def held(self) -> bool:
        """Tell whether the day's file is there and good."""
        return not self.problem


NAMES = tuple(field.name for field in fields(Entry))
LINE = json.JSONEncoder(default=str)


def load(path: Path) -> dict[date, Entry]:
    """Return the last entry of each day; lines that were cut or spoilt are left out."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {entry.day: entry for line in lines if (entry := parsed(line))}


def append(path: Path, entry: Entry) -> None:
    """Add one entry and return when it is on the disk."""
    line = encoded(entry)
    with durable.disk_errors(path), path.open("ab+") as file:
        file.write(b"\n" + line if torn(file) else line)
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, entries: Iterable[Entry]) -> None:
    """Write the manifest anew, with one line for each day."""
    lines = [encoded(entry) for entry in sorted(entries, key=lambda entry: entry.day)]
    durable.replace(path, b"".join(lines))


def torn(file: Any) -> bool:
    """Tell whether the last line was cut, so that the next one must not join it."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")


def encoded(entry: Entry) -> bytes:
    """Return an entry as one line."""
    record = {name: getattr(entry, name) for name in NAMES}
    return LINE.encode(record).encode() + b"\n"


def parsed(line: str) -> Entry | None:
    """Return the entry of a line, or None when it is none."""
    try:
        known = dict(relevant(json.loads(line)))
        return Entry(**known)
    except (ValueError, TypeError, AttributeError):
        return None


def relevant(record: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a record that this version knows."""
    for field in fields(Entry):
        if field.name in record:
            value = record[field.name]
            yield field.name, date.fromisoformat(value) if field.type is date else value
