"""Any CSV file into any table, by the API's own rules: in batches, each a transaction."""

import logging
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TextIO

from marshmallow import Schema
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from app.cache.tags import commit_and_forget
from app.errors import is_away
from app.extensions import db
from app.loading.columns import Cells
from app.loading.csv_files import Row
from app.loading.duplicates import SeenKeys
from app.loading.rejects import Rejects

BATCH_ROWS = 1_000
BATCH_CHARACTERS = 4_000_000
WAITS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try of a batch that the database was too busy for."""
OUTCOMES = ("loaded", "updated", "unchanged", "rejected")
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where rows go: all that a load has to be told about a table.

    ``keys`` are the fields by which a row finds its equal, the first choice first. ``write``
    gets rows whose keys differ, and the key; in the transaction at hand it settles the outcome
    of each, and returns the tags to forget. ``prepare`` gets rows and the fields that the file
    has; it may complete or reject them before they are compared by key, and where it
    ``makes_key`` the file needs none. ``check`` may refuse a choice of fields with a LoadError.
    """

    schema: type[Schema]
    keys: tuple[str, ...]
    write: Callable[[Sequence[Row], str], Iterable[str]]
    prepare: Callable[[Sequence[Row], Collection[str]], None] = lambda _rows, _fields: None
    makes_key: bool = False
    check: Callable[[Collection[str]], None] = lambda _fields: None


@dataclass
class Report:
    """How many rows met which end, up to which line, and why it ended early if it did."""

    counts: Counter[str]
    line: int = 0
    interrupted: bool = False
    away: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{outcome} {self.counts[outcome]}" for outcome in OUTCOMES)


class Load:
    """One file on its way into a table."""

    def __init__(self, target: Target, key: str, cells: Cells, rejects: Rejects) -> None:
        self._target = target
        self._key = key
        self._cells = cells
        self._rejects = rejects
        self.report = Report(Counter())

    def run(self, file: TextIO, rows: Iterator[Row], size: int) -> Report:
        """Take all rows; stop after a whole batch when interrupted, or the database is away."""
        with (
            closing(self._rejects),
            _interruption() as asked,
            SeenKeys(self._key) as seen,
            tqdm(total=size, unit="B", unit_scale=True, file=sys.stderr, disable=None) as bar,
        ):
            for batch in batches(rows):
                if not self._take(batch, seen) or asked.is_set():
                    break
                bar.update(file.buffer.tell() - bar.n)
        self.report.interrupted = asked.is_set()
        return self.report

    def _take(self, batch: Sequence[Row], seen: SeenKeys) -> bool:
        """Take one batch; return whether the database did."""
        try:
            self._settle(batch, seen)
        except SQLAlchemyError as error:
            db.session.rollback()
            if not is_away(error):
                raise
            self.report.away = str(error).splitlines()[0]
            return False
        self._rejects.write(row for row in batch if row.outcome == "rejected")
        self.report.counts.update(str(row.outcome) for row in batch)
        self.report.line = batch[-1].line
        return True

    def _settle(self, batch: Sequence[Row], seen: SeenKeys) -> None:
        for row in _open(batch):
            self._cells.read(row)
        _patiently(lambda: self._target.prepare(_open(batch), self._cells.fields))
        for row in _open(batch):
            if row.values.get(self._key) is None:
                row.reject(f"no {self._key}, which is the key; choose another with --key")
        while _open(batch):
            self._settle_first_of_each_key(batch, seen)

    def _settle_first_of_each_key(self, batch: Sequence[Row], seen: SeenKeys) -> None:
        firsts: dict[object, Row] = {}
        for row in _open(batch):
            seen.judge(row)
            if row.outcome is None:
                firsts.setdefault(row.values[self._key], row)
        rows = list(firsts.values())
        _patiently(lambda: self._write(rows))
        seen.note(row for row in rows if row.outcome != "rejected")

    def _write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            row.outcome = None
        tags = set(self._target.write(rows, self._key)) if rows else set()
        if tags:
            commit_and_forget(*tags)
        else:
            db.session.rollback()


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in lists that fit in memory, whatever is in them."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(map(len, row.cells))
        if len(batch) == BATCH_ROWS or characters > BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _open(batch: Iterable[Row]) -> list[Row]:
    return [row for row in batch if row.outcome is None]


def _patiently(step: Callable[[], None]) -> None:
    """Do ``step``; again where another writer was in the way, or the database out of reach."""
    for seconds in WAITS:
        try:
            return step()
        except SQLAlchemyError as error:
            db.session.rollback()
            if not is_away(error):
                raise
            log.warning("trying again: %s", str(error).splitlines()[0])
        time.sleep(seconds)
    return step()


@contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Note the first Ctrl-C, which ends the load after the batch at hand; a second ends it now."""
    asked = threading.Event()

    def note(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield asked
    except KeyboardInterrupt:
        asked.set()
        db.session.rollback()
    finally:
        signal.signal(signal.SIGINT, before)
