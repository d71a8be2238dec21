"""The record of the last run of a dataset: when it ended, how, and what it did."""

import json
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from adsfetch.errors import StoreError
from adsfetch.storage.atomic import SUFFIX, disk_errors, read_file

NAME = "last_run.json"


@dataclass(frozen=True)
class LastRun:
    """The outcome of a run; the fields are the keys of last_run.json.

    ``ended`` and ``succeeded`` are seconds since 1970: the end of this run, and of the last one
    whose exit code was 0; it is 0 if there was none. ``reason`` is empty if nothing is wrong.
    """

    ended: int
    exit_code: int
    succeeded: int = 0
    reason: str = ""
    rows: int = 0
    calls: int = 0
    retries: int = 0


def load_last_run(folder: Path) -> LastRun | None:
    """Return the record of a dataset; None if there is none that can be used: no day needs it."""
    try:
        record = json.loads(read_file(folder / NAME))
        run = LastRun(**{item.name: record[item.name] for item in fields(LastRun)})
        numbers = [value for value in asdict(run).values() if type(value) is int]
        instant_of(run.ended), instant_of(run.succeeded)
    except (StoreError, ValueError, TypeError, KeyError, OverflowError, OSError, RecursionError):
        return None
    return run if len(numbers) == len(fields(LastRun)) - 1 and type(run.reason) is str else None


def save_last_run(folder: Path, run: LastRun) -> None:
    """Replace the record of a dataset as a whole.

    It is not flushed to the disk, which for two hundred datasets would take a second: a power
    cut may lose the record, but no day.
    """
    path = folder / NAME
    temp = path.with_name(f".{NAME}.{uuid4().hex[:12]}{SUFFIX}")
    with disk_errors(path):
        temp.write_text(json.dumps(asdict(run), indent=1) + "\n", encoding="utf-8")
        temp.replace(path)


def instant_of(seconds: int) -> datetime:
    """Return an instant in UTC."""
    return datetime.fromtimestamp(seconds, UTC)
