"""The manifest: which days are stored; one line of JSON for each change, the last one counts."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from adsfetch.storage import atomic


@dataclass(frozen=True, slots=True)
class Entry:
    """One day; the fields are the keys of the file.

    ``problem`` is why the day counts as missing or, if there is no ``sha256``, as failed.
    ``fetched_on`` is the account's date when the run started. ``changed`` is st_mtime_ns.
    """

    day: date
    rows: int = 0
    size: int = 0
    sha256: str = ""
    fetched_on: date = date.min
    changed: int = 0
    problem: str = ""

    @property
    def is_stored(self) -> bool:
        """Return whether the day's file exists and is intact."""
        return not self.problem


def load(path: Path) -> dict[date, Entry]:
    """Return the last entry of each day; incomplete and corrupt lines are ignored."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return {entry.day: entry for line in lines if (entry := parse_line(line))}


def append(path: Path, entry: Entry) -> None:
    """Add one entry and return after it has reached the disk."""
    line = encode_line(entry)
    with atomic.disk_errors(path), path.open("ab+") as file:
        file.write(b"\n" + line if ends_mid_line(file) else line)
        file.flush()
        os.fsync(file.fileno())


def rewrite(path: Path, entries: Iterable[Entry]) -> None:
    """Replace the manifest with one that has one line for each day."""
    lines = [encode_line(entry) for entry in sorted(entries, key=lambda entry: entry.day)]
    atomic.write_file(path, b"".join(lines))


def ends_mid_line(file: Any) -> bool:
    """Return whether a crash has cut the last line: the next one must not be joined to it."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) != b"\n")


def encode_line(entry: Entry) -> bytes:
    """Return an entry as one line."""
    return json.dumps(asdict(entry), default=str).encode() + b"\n"


def parse_line(line: str) -> Entry | None:
    """Return the entry of a line, or None for an incomplete or corrupt line.

    Names that this version does not know are ignored.
    """
    try:
        record = json.loads(line)
        known = {field.name: record[field.name] for field in fields(Entry) if field.name in record}
        for name in known.keys() & {"day", "fetched_on"}:
            known[name] = date.fromisoformat(known[name])
        return Entry(**known)
    except (ValueError, TypeError, AttributeError):
        return None
