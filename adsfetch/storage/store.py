"""One file for each day, whole or not at all, and the record of them."""

from dataclasses import replace
from datetime import date
from pathlib import Path

from adsfetch.dates import zone
from adsfetch.storage import atomic as durable
from adsfetch.storage import dataset, manifest
from adsfetch.storage import verify as audit
from adsfetch.storage.manifest import Entry
from adsfetch.storage.staging import Draft, Drafts

FINAL, EMPTY, PROVISIONAL, FAILED, MISSING = "final", "empty", "provisional", "failed", "missing"


class Store:
    """The folder of one dataset; but for drafts, all belongs to the holder of its lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.days = folder / "days"
        self.all = folder / "all.csv"
        self.dataset = self._described = dataset.Dataset()
        self.entries: dict[date, Entry] = {}
        self._recorded: dict[date, Entry] = {}

    def path(self, day: date) -> Path:
        """Return where the rows of a day are."""
        return self.days / f"{day}.csv"

    def load(self, *, thorough: bool = False) -> "Store":
        """Read what is held; a file that was touched is read, one without an entry adopted."""
        self.dataset = self._described = dataset.load(self.folder / "dataset.json")
        self._recorded = manifest.load(self.folder / "manifest.jsonl")
        files = audit.day_files(self.days)
        self.entries = {
            day: audit.checked(entry, self.path(day), files.get(day), thorough=thorough)
            for day, entry in self._recorded.items()
        }
        known = {day for day, entry in self.entries.items() if entry.sha256}
        for day in sorted(files.keys() - known):
            self._adopt(day)
        return self

    def settle(self) -> None:
        """Write down what loading found, and clean up after runs that were killed."""
        with durable.disk_errors(self.days):
            self.days.mkdir(parents=True, exist_ok=True)
            for folder in (self.days, self.folder):
                durable.remove_leftovers(folder)
        if self.entries != self._recorded:
            manifest.rewrite(self.folder / "manifest.jsonl", self.entries.values())
            self._recorded = dict(self.entries)

    def describe(self, description: dataset.Dataset) -> None:
        """Change the description of the dataset, on the disk too."""
        if description != self._described:
            dataset.save(self.folder / "dataset.json", description)
        self.dataset = self._described = description

    def drafts(self) -> Drafts:
        """Return the place where workers write days of this dataset."""
        facts = self.dataset
        return Drafts(self.days, facts.columns, escape_formulas=facts.escape_formulas)

    def commit(self, draft: Draft, columns: tuple[str, ...], today: date) -> None:
        """Make a draft the one and only file of its day, then say so in the manifest."""
        if not self.dataset.columns and columns:
            self.describe(replace(self.dataset, columns=columns))
        target = self.path(draft.day)
        durable.put_in_place(draft.part, target)
        stat = target.stat()
        facts = (draft.rows, stat.st_size, draft.sha256, today, stat.st_mtime_ns)
        self._record(Entry(draft.day, *facts))

    def fail(self, day: date, reason: str, today: date) -> None:
        """Remember why a day is not there; one that is held stays held."""
        if day not in self.entries or not self.entries[day].held:
            self._record(Entry(day, fetched_on=today, problem=reason))

    def held(self) -> list[Entry]:
        """Return the entries of all days that are there, oldest first."""
        return sorted((e for e in self.entries.values() if e.held), key=lambda entry: entry.day)

    def state(self, day: date, lookback: int) -> str:
        """Return final, empty, provisional, failed or missing.

        A day is final when it was fetched ``lookback`` days after it or later: figures are
        restated until then. One that was fetched before it was over never is.
        """
        entry = self.entries.get(day)
        if entry is None or not entry.held:
            return FAILED if entry and not entry.sha256 else MISSING
        if (entry.fetched_on - day).days < max(lookback, 1):
            return PROVISIONAL
        return FINAL if entry.rows else EMPTY

    def _record(self, entry: Entry) -> None:
        manifest.append(self.folder / "manifest.jsonl", entry)
        self.entries[entry.day] = self._recorded[entry.day] = entry

    def _adopt(self, day: date) -> None:
        name = self.dataset.time_zone
        columns = self.dataset.columns or audit.header(self.path(day))
        entry = audit.adopted(self.path(day), day, columns, zone(name) if name else None)
        if entry and (entry.rows or not columns) and not self.dataset.columns:
            self.dataset = replace(self.dataset, columns=columns)
        if entry:
            self.entries[day] = entry
