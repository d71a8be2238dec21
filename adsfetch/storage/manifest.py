"""The manifest: which days are stored; one line of JSON for each change, the last one counts."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

from adsfetch.storage import atomic
from adsfetch.storage.states import IN_AGGREGATE, Entry, Record

TYPES = {"rows": int, "size": int, "sha256": str, "changed": int, "problem": str}


def load(path: Path) -> dict[date, Entry]:
    """Return the last entry of each day; incomplete and corrupt lines are ignored."""
    lines = atomic.read_file(path).decode("utf-8-sig", "replace").split("\n")
    return {entry.day: entry for line in lines if (entry := parse_line(line))}


def append(path: Path, entry: Entry) -> None:
    """Add one entry and return after it has reached the disk."""
    atomic.append_line(path, encode_line(entry))


def rewrite(path: Path, entries: Iterable[Entry]) -> None:
    """Replace the manifest with one that has one line for each day."""
    lines = [encode_line(entry) for entry in sorted(entries, key=lambda entry: entry.day)]
    atomic.write_file(path, b"".join(lines))


def encode_line(entry: Entry) -> bytes:
    """Return an entry as one line."""
    return json.dumps(asdict(entry), default=str).encode() + b"\n"


def parse_line(line: str) -> Entry | None:
    """Return the entry of a line, or None for an incomplete or corrupt line.

    Names that this version does not know are ignored.
    """
    try:
        values = json.loads(line)
        known = {name: values[name] for name in TYPES if name in values}
        if not all(type(value) is TYPES[name] for name, value in known.items()):
            return None
        for name in {"day", "fetched_on"} & values.keys():
            known[name] = _date(values[name])
        return Entry(**known, record=record_of(values))
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


@lru_cache(4096)  # all accounts have the same days
def _date(text: str) -> date:
    return date.fromisoformat(text)


def record_of(values: dict[str, Any]) -> Record:
    """Return what a line records, also one of an older version, which did not say it.

    Such a line held a day unless it had a problem. A failed day had no checksum, and no problem
    either if its error had no message.
    """
    has_rows = bool(values.get("sha256"))
    if "record" in values:
        record = Record(values["record"])
        return record if has_rows or record not in IN_AGGREGATE else Record.FAILED
    if not has_rows:
        return Record.FAILED
    return Record.DAMAGED if values.get("problem") else Record.HELD
