"""The store of a dataset: one file for each day, and the manifest, which lists them."""

from dataclasses import replace
from datetime import date
from pathlib import Path

from adsfetch.dates import zone
from adsfetch.storage import atomic, dataset, manifest, verify
from adsfetch.storage.manifest import Entry
from adsfetch.storage.staging import StagedDay, Staging

FINAL, EMPTY, PROVISIONAL, FAILED, MISSING = "final", "empty", "provisional", "failed", "missing"
DONE = (FINAL, EMPTY)


class Store:
    """The folder of one dataset; only the owner of its lock may write, except staged files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.days_folder = folder / "days"
        self.aggregate_path = folder / "all.csv"
        self.dataset = self._saved_dataset = dataset.Dataset()
        self.entries: dict[date, Entry] = {}
        self._saved_entries: dict[date, Entry] = {}

    def day_path(self, day: date) -> Path:
        return self.days_folder / f"{day}.csv"

    def load(self, *, thorough: bool = False) -> "Store":
        """Read the manifest and compare it with the files.

        A file whose size or time has changed is read (``thorough``: every file), and the entry
        of a file that the manifest does not list is recovered.
        """
        self.dataset = self._saved_dataset = dataset.load(self.folder / "dataset.json")
        self._saved_entries = manifest.load(self.folder / "manifest.jsonl")
        files = verify.day_files(self.days_folder)
        self.entries = {
            day: verify.check_entry(entry, self.day_path(day), files.get(day), thorough=thorough)
            for day, entry in self._saved_entries.items()
        }
        listed = {day for day, entry in self.entries.items() if entry.sha256}
        for day in sorted(files.keys() - listed):
            self._recover(day)
        return self

    def reconcile(self) -> None:
        """Write to the manifest what ``load`` has found, and clean up after killed runs."""
        with atomic.disk_errors(self.days_folder):
            self.days_folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.days_folder, self.folder):
                atomic.remove_leftovers(folder)
        if self.entries != self._saved_entries:
            manifest.rewrite(self.folder / "manifest.jsonl", self.entries.values())
            self._saved_entries = dict(self.entries)

    def save_description(self, description: dataset.Dataset) -> None:
        """Change the description of the dataset, in memory and on the disk."""
        if description != self._saved_dataset:
            dataset.save(self.folder / "dataset.json", description)
        self.dataset = self._saved_dataset = description

    def staging(self) -> Staging:
        columns, escape = self.dataset.columns, self.dataset.escape_formulas
        return Staging(self.days_folder, columns, escape_formulas=escape)

    def commit(self, staged: StagedDay, today: date) -> None:
        """Replace the file of a day with the staged one, then record it in the manifest."""
        if staged.columns and not self.dataset.columns:
            self.save_description(replace(self.dataset, columns=staged.columns))
        target = self.day_path(staged.day)
        atomic.move_into_place(staged.path, target)
        stat = target.stat()
        size, changed = stat.st_size, stat.st_mtime_ns
        self._record(Entry(staged.day, staged.rows, size, staged.sha256, today, changed))

    def record_failure(self, day: date, reason: str, today: date) -> None:
        """Record why a day is missing; a day that is stored already stays stored."""
        if day not in self.entries or not self.entries[day].is_stored:
            self._record(Entry(day, fetched_on=today, problem=reason))

    def stored_entries(self) -> list[Entry]:
        """Return the entries of all stored days, oldest first."""
        entries = (entry for entry in self.entries.values() if entry.is_stored)
        return sorted(entries, key=lambda entry: entry.day)

    def state(self, day: date, lookback: int) -> str:
        """Return final, empty, provisional, failed or missing.

        A day is final when it was fetched at least ``lookback`` days after it, because the
        numbers are restated until then. A day that was fetched before its end is never final.
        """
        entry = self.entries.get(day)
        if entry is None or not entry.is_stored:
            return FAILED if entry and not entry.sha256 else MISSING
        if (entry.fetched_on - day).days < max(lookback, 1):
            return PROVISIONAL
        return FINAL if entry.rows else EMPTY

    def _record(self, entry: Entry) -> None:
        manifest.append(self.folder / "manifest.jsonl", entry)
        self.entries[entry.day] = self._saved_entries[entry.day] = entry

    def _recover(self, day: date) -> None:
        path = self.day_path(day)
        columns = self.dataset.columns or verify.read_header(path)
        entry = verify.recover_entry(path, day, columns, zone(self.dataset.time_zone))
        if entry:
            self.entries[day] = entry
            if entry.rows and not self.dataset.columns:
                self.dataset = replace(self.dataset, columns=columns)
