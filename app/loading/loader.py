"""The loader: writes the rows of a CSV file in batches, with one transaction for each."""

import logging
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

from marshmallow import Schema
from sqlalchemy.exc import SQLAlchemyError
from tqdm import tqdm

from app.db.errors import describe, is_connection_error, is_unavailable
from app.events.log import NewEvent
from app.extensions import db
from app.loading.columns import RowParser
from app.loading.csv_files import Row
from app.loading.duplicates import SeenKeys
from app.loading.files import Input, LoadError
from app.loading.rejects import RejectsFile
from app.unit_of_work import commit

BATCH_ROWS = 1_000
BATCH_CHARACTERS = 4_000_000
RETRY_DELAYS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each retry of a batch, while the database is busy or unavailable."""
ID = "id"
"""A key that has to be requested: other files than exports have other ids."""
OUTCOMES = ("loaded", "updated", "unchanged", "rejected")
Written = tuple[Iterable[str], Sequence[NewEvent]]
"""The cache tags to invalidate and the events of written rows."""
log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LoadSpec:
    """How to load one table.

    ``keys`` are the fields that may identify a row, in order of preference. ``write`` receives
    rows with distinct keys, and the name of the key; it sets the outcome of each row in the
    current transaction, and returns the tags and the events of the changes. ``prepare`` receives
    rows and the fields that the file has; it may complete or reject rows before duplicates are
    searched.
    If it ``generates_key``, the file needs no column for the key. ``check`` receives the fields
    before the first row is loaded, and may raise LoadError. With the key ID the file is an export,
    and ``exported`` describes its rows.
    """

    schema: type[Schema]
    exported: type[Schema]
    keys: tuple[str, ...]
    write: Callable[[Sequence[Row], str], Written]
    prepare: Callable[[Sequence[Row], Set[str]], None] = lambda _rows, _fields: None
    generates_key: bool = False
    check: Callable[[Collection[str]], None] = lambda _fields: None


@dataclass
class LoadReport:
    """How many rows had each outcome, the last processed line, and why the load stopped early.

    ``rejects_path`` is where the rejected rows are, and ``hint`` may say why they are.
    """

    counts: Counter[str]
    rejects_path: str = ""
    hint: str = ""
    line: int = 0
    interrupted: bool = False
    failure: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{outcome} {self.counts[outcome]}" for outcome in OUTCOMES)


class Load:
    """The load of one file into one table."""

    def __init__(self, spec: LoadSpec, key: str, parser: RowParser, rejects: RejectsFile) -> None:
        self._spec = spec
        self._key = key
        self._parser = parser
        self._rejects = rejects
        self.report = LoadReport(Counter())

    def run(self, source: Input, rows: Iterator[Row]) -> LoadReport:
        """Load all rows; an interruption or a failure stops the load after a whole batch."""
        report, remaining = self.report, batches(rows)
        with (
            closing(self._rejects),
            _catch_interrupt() as interruption,
            closing(SeenKeys(self._key)) as seen,
            tqdm(
                total=source.size, unit="B", unit_scale=True, file=sys.stderr, disable=None
            ) as bar,
        ):
            while not report.failure and not interruption.happened:
                try:
                    with interruption.at_once():
                        batch = next(remaining, None)
                except LoadError as error:
                    report.failure = str(error)
                    break
                if batch is None:
                    break
                self._load_batch(batch, seen)
                bar.update(source.position - bar.n)
        report.interrupted = interruption.happened
        report.rejects_path = self._rejects.path
        return report

    def _load_batch(self, batch: Sequence[Row], seen: SeenKeys) -> None:
        try:
            self._process(batch, seen)
            self._rejects.write(row for row in batch if row.outcome == "rejected")
        except SQLAlchemyError as error:
            db.session.rollback()
            if not is_unavailable(error):
                raise
            self.report.failure = describe(error)
        except (OSError, sqlite3.Error) as error:
            # The disk is full, for the rejected rows or for the keys of the file.
            db.session.rollback()
            self.report.failure = str(error)
        else:
            self.report.counts.update(str(row.outcome) for row in batch)
            self.report.line = batch[-1].line

    def _process(self, batch: Sequence[Row], seen: SeenKeys) -> None:
        for row in _undecided(batch):
            self._parser.parse(row)
        retry_transient(lambda: self._spec.prepare(_undecided(batch), self._parser.fields))
        for row in _undecided(batch):
            if row.values.get(self._key) is None:
                row.reject(f"no {self._key}, which is the key; choose another with --key")
        while _undecided(batch):
            self._write_first_of_each_key(batch, seen)

    def _write_first_of_each_key(self, batch: Sequence[Row], seen: SeenKeys) -> None:
        firsts: dict[object, Row] = {}
        for row in _undecided(batch):
            seen.check(row)
            if row.outcome is None:
                firsts.setdefault(row.values[self._key], row)
        rows = list(firsts.values())
        retry_transient(lambda: self._write(rows))
        seen.remember(row for row in rows if row.outcome != "rejected")

    def _write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            row.outcome = None
        tags, events = self._spec.write(rows, self._key) if rows else ((), ())
        if tags:
            commit(invalidate=list(tags), events=events)
        else:
            db.session.rollback()


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield the rows in lists of bounded length and size."""
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


def _undecided(batch: Iterable[Row]) -> list[Row]:
    return [row for row in batch if row.outcome is None]


def retry_transient(step: Callable[[], None]) -> None:
    """Run ``step``; retry while another writer blocks it or the database is unavailable."""
    for seconds in RETRY_DELAYS:
        try:
            return step()
        except SQLAlchemyError as error:
            db.session.rollback()
            if not is_connection_error(error):
                raise
            log.warning("retrying: %s", str(error).splitlines()[0])
        time.sleep(seconds)
    return step()


class Interruption:
    """Whether Ctrl-C was pressed. A second one, or one ``at_once``, raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.happened = False
        self._at_once = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let the first Ctrl-C raise: a pipe may never send the rows that a load waits for."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        self.happened = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._at_once:
            raise KeyboardInterrupt


@contextmanager
def _catch_interrupt() -> Iterator[Interruption]:
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGINT, interruption.handle)
    try:
        yield interruption
    except KeyboardInterrupt:
        interruption.happened = True
        db.session.rollback()
    finally:
        signal.signal(signal.SIGINT, before)
