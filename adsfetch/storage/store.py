"""The store of a dataset: one file for each day, and the manifest, which lists them."""

from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path

from adsfetch.dates import days_before, zone
from adsfetch.storage import atomic, changes, dataset, manifest, states, verify
from adsfetch.storage.csv import read_rows
from adsfetch.storage.staging import StagedDay, Staging
from adsfetch.storage.states import Entry, Event, Record, State

OWN_FILES = (
    "dataset.json",
    "manifest.jsonl",
    "changes.jsonl",
    "last_run.json",
    "all.csv",
    "all.excel.csv",
    "lock",
)


class Store:
    """The folder of one dataset; only the owner of its lock may write, except staged files.

    ``today`` is the account's: no day after it is held. ``clock_was_at`` is the latest date that a
    run has recorded, if it is after today. Call ``load``, then ``set_today``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.days_folder = folder / "days"
        self.aggregate_path = folder / "all.csv"
        self.excel_path = folder / "all.excel.csv"
        self.manifest_path = folder / "manifest.jsonl"
        self.changes_path = folder / "changes.jsonl"
        self.lock_path = folder / "lock"
        self._description_path = folder / "dataset.json"
        self.today = date.max
        self.clock_was_at: date | None = None
        self.dataset = self._saved_dataset = dataset.Dataset()
        self.entries: dict[date, Entry] = {}
        self._saved_entries: dict[date, Entry] = {}

    def exists(self) -> bool:
        """Return whether the folder is that of a dataset; any other one may have an all.csv too."""
        parts = (self.days_folder, self._description_path, self.manifest_path)
        with atomic.read_errors(self.folder):
            return any(part.exists() for part in parts)

    def day_path(self, day: date) -> Path:
        return self.days_folder / f"{day}.csv"

    def load(self, *, thorough: bool = False) -> "Store":
        """Read the manifest and compare it with the files.

        A file whose size or time has changed is read (``thorough``: every file), and the entry
        of a file that the manifest does not list is recovered.
        """
        self.dataset = self._saved_dataset = dataset.load(self._description_path)
        self._saved_entries = manifest.load(self.manifest_path)
        files = verify.day_files(self.days_folder)
        self.entries = {
            day: verify.check_entry(entry, self.day_path(day), files.get(day), thorough=thorough)
            for day, entry in self._saved_entries.items()
        }
        self._find_columns()
        listed = {day for day, entry in self.entries.items() if entry.sha256}
        for day in sorted(files.keys() - listed):
            self._recover(day)
        return self

    def set_today(self, today: date) -> "Store":
        """Set the account's date, and correct the dates of runs whose clock was ahead."""
        self.today = today
        latest = max((entry.fetched_on for entry in self.entries.values()), default=today)
        self.clock_was_at = latest if latest > today else None
        self.entries = states.set_clock(self.entries.values(), today)
        return self

    def reconcile(self) -> None:
        """Write to the manifest what has changed since it was read; clean up after killed runs."""
        with atomic.disk_errors(self.days_folder):
            self.days_folder.mkdir(parents=True, exist_ok=True)
        for path in (self.days_folder, self.folder, self.aggregate_path, self.excel_path):
            with atomic.disk_errors(path):
                atomic.remove_leftovers(path)
        if self.entries != self._saved_entries:
            manifest.rewrite(self.manifest_path, self.entries.values())
            self._saved_entries = dict(self.entries)

    def save_description(self, description: dataset.Dataset) -> None:
        """Change the description of the dataset, in memory and on the disk."""
        if description != self._saved_dataset:
            dataset.save(self._description_path, description)
        self.dataset = self._saved_dataset = description

    def staging(self) -> Staging:
        columns, escape = self.dataset.columns, self.dataset.escape_formulas
        return Staging(self.days_folder, columns, escape_formulas=escape)

    def commit(self, staged: StagedDay) -> None:
        """Replace the file of a day with the staged one, then record it in the manifest.

        If the day was held, what has changed is recorded last: a kill loses this line, no day.
        """
        types = {**self.dataset.types, **staged.types}
        if types != self.dataset.types or (staged.columns and not self.dataset.columns):
            columns = self.dataset.columns or staged.columns
            self.save_description(replace(self.dataset, columns=columns, types=types))
        old = self._entry(staged.day)
        change = changes.change_of(old, self.day_path(staged.day), staged, self.today)
        self._place(staged, replace(old.after(Event.FETCHED), fetched_on=self.today))
        if change:
            changes.append(self.changes_path, change)

    def replace_rows(self, staged: StagedDay) -> None:
        """Replace the file of a held day by the same rows in another form."""
        self._place(staged, self._entry(staged.day))

    def record_failure(self, day: date, reason: str) -> None:
        """Record why a day could not be fetched; a day that is held stays held."""
        entry = self._entry(day).after(Event.FAILED, reason)
        self._record(entry if entry.sha256 else replace(entry, fetched_on=self.today))

    def record_unavailable(self, day: date, reason: str) -> None:
        """Record that a day can never be fetched; a day that is held stays held."""
        entry = self._entry(day).after(Event.UNAVAILABLE, reason)
        self._record(replace(entry, fetched_on=self.today))

    def record_difference(self, day: date, problem: str) -> None:
        """Record that the rows of a day are not those of its source: the next run fetches it.

        The record gets a checksum that no file has, or the intact file would be found again.
        """
        entry = self._entry(day).after(Event.LOST, problem)
        self._record(replace(entry, sha256=f"not {entry.sha256}"))

    def add_headers(self) -> None:
        """Give a header to the days without rows that were stored before one was known."""
        if self.dataset.columns:
            for entry in self.held_entries():
                if not entry.size:
                    self._place(self.staging().write(entry.day, ()), entry)

    def forget(self, first: date, last: date) -> None:
        """Delete the days of a range, as if they had never been requested.

        The files come first: a file without an entry would be taken for a day.
        """
        days = self.days_in(first, last)
        for day in days:
            with atomic.disk_errors(self.day_path(day)):
                self.day_path(day).unlink(missing_ok=True)
        for day in days:
            if self._entry(day).after(Event.FORGOTTEN).record is Record.NOTHING:
                self.entries.pop(day, None)
        self.reconcile()
        self.save_description(self.dataset.without_range(first, last))

    def days_in(self, first: date, last: date) -> list[date]:
        """Return the days of a range that have a file or an entry."""
        known = self.entries.keys() | verify.day_files(self.days_folder).keys()
        return sorted(day for day in known if first <= day <= last)

    def any_row(self) -> dict[str, str] | None:
        """Return the first row of the oldest day that has one; None if there is no row."""
        for entry in self.held_entries():
            path = self.day_path(entry.day)
            with atomic.read_errors(path):
                lines = list(islice(read_rows(path), 2)) if entry.rows else []
            if len(lines) > 1:
                return dict(zip(*lines, strict=False))
        return None

    def held_entries(self) -> list[Entry]:
        """Return the entries of all days that are held, oldest first."""
        held = (e for e in self.entries.values() if e.is_held and e.day <= self.today)
        return sorted(held, key=lambda entry: entry.day)

    @property
    def last_fetched(self) -> date | None:
        """Return the date of the run that fetched the newest rows."""
        held = (e.fetched_on for e in self.entries.values() if e.record is Record.HELD)
        return max(held, default=None)

    @property
    def earliest(self) -> date | None:
        """Return the oldest day that the source still has; None means no limit."""
        available = self.dataset.days_available
        return None if available is None else days_before(self.today, available)

    def days_to_come(self) -> list[date]:
        """Return the days after today of which there are rows: a clock was, or is, wrong."""
        return sorted(e.day for e in self.entries.values() if e.is_held and e.day > self.today)

    def state(self, day: date, lookback: int | None = None) -> State:
        """Return the state of a day; ``lookback`` is by default that of the dataset."""
        return states.state_of(
            self._entry(day),
            today=self.today,
            lookback=self.dataset.lookback if lookback is None else lookback,
            earliest=self.earliest,
        )

    def _entry(self, day: date) -> Entry:
        return self.entries.get(day) or Entry(day, record=Record.NOTHING)

    def _place(self, staged: StagedDay, entry: Entry) -> None:
        target = self.day_path(staged.day)
        atomic.move_into_place(staged.path, target)
        with atomic.disk_errors(target):
            stat = target.stat()
        size, changed = stat.st_size, stat.st_mtime_ns
        self._record(
            replace(entry, rows=staged.rows, size=size, sha256=staged.sha256, changed=changed)
        )

    def _record(self, entry: Entry) -> None:
        if entry != self.entries.get(entry.day):
            manifest.append(self.manifest_path, entry)
            self.entries[entry.day] = self._saved_entries[entry.day] = entry

    def _find_columns(self) -> None:
        """Read the columns from a day that is held, if the description of the dataset was lost."""
        held = (entry for entry in self.entries.values() if entry.is_held and entry.size)
        if not self.dataset.columns and (entry := next(held, None)):
            columns = verify.read_header(self.day_path(entry.day))
            self.dataset = replace(self.dataset, columns=columns)

    def _recover(self, day: date) -> None:
        path = self.day_path(day)
        columns = self.dataset.columns or verify.read_header(path)
        entry = verify.recover_entry(path, day, columns, zone(self.dataset.time_zone))
        if entry:
            record = self._entry(day).after(Event.FOUND).record
            self.entries[day] = replace(entry, record=record)
            if not self.dataset.columns:
                self.dataset = replace(self.dataset, columns=columns)
