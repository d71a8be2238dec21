"""An export: find the partitions that have changed, and write each of them as a whole."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from adsfetch.errors import UsageError
from adsfetch.export.rows import read_day
from adsfetch.export.target import Partition, Target, mark_of
from adsfetch.export.types import ARROW_TYPES, Inference, array_of
from adsfetch.storage.combined import IDENTITY
from adsfetch.storage.states import Entry
from adsfetch.storage.store import Store

CUSTOMER = "customer_id"
"""The first column of the export of a Google Ads account: exports are read together."""


@dataclass(frozen=True)
class Exported:
    """How many partitions were written, were up to date, or were removed."""

    written: int
    unchanged: int
    removed: int
    rows: int


class Export:
    """The export of a dataset, which is loaded and locked, to a target.

    At most ``ROWS_AT_ONCE`` rows are in memory, whatever the number of days.
    """

    def __init__(self, store: Store, target: Target) -> None:
        self._store, self._target = store, target
        account = IDENTITY.fullmatch(store.dataset.source)
        self._customer = account[1] if account else ""
        self._partitions = partitions_of(store, target) if store.dataset.columns else {}
        if target.key in store.dataset.columns:
            raise UsageError(f"the dataset has a column {target.key}, by which exports are divided")

    def run(self) -> Exported:
        """Bring the target up to date with the days that are held."""
        gone = self._target.partitions - self._partitions.keys()
        types = self._types()
        marks = self._marks(types)
        changed = self._changed(marks)
        schema = self._target.schema(self._with_customer(types)) if changed else None
        for _, names in groupby(changed, key=lambda name: name[: len("2024-02")]):
            parts = [
                Partition(name, marks[name], self._batches(self._partitions[name], schema))
                for name in names
            ]
            self._target.write(parts, schema)
        self._target.remove(sorted(gone))
        rows = sum(entry.rows for name in changed for entry in self._partitions[name])
        return Exported(len(changed), len(marks) - len(changed), len(gone), rows)

    def _types(self) -> dict[str, str]:
        """Return the type of each column: as recorded, as in the target, or else as it looks.

        What is in the target stays as long as all changed days fit, so that a type does not
        change from day to day.
        """
        dataset = self._store.dataset
        recorded = {n: kind for n, kind in dataset.types.items() if kind in ARROW_TYPES}
        known = {name: recorded[name] for name in dataset.columns if name in recorded}
        unknown = [name for name in dataset.columns if name not in known]
        there = self._target.types
        if unknown and {*unknown} <= there.keys():
            kept = {name: there[name] for name in unknown}
            types = {name: (known | kept)[name] for name in dataset.columns}
            changed = self._changed(self._marks(types))
            if self._inferred(unknown, changed).fits(kept):
                return types
        found = self._inferred(unknown, self._partitions).types
        return {name: (known | found)[name] for name in dataset.columns}

    def _inferred(self, names: Sequence[str], partitions: Iterable[str]) -> Inference:
        """Look at the texts of some columns in some partitions."""
        inference = Inference(names)
        for entry in (entry for name in partitions if names for entry in self._partitions[name]):
            for columns in read_day(self._store, entry):
                inference.add(self._store.dataset.columns, columns)
        return inference

    def _marks(self, types: Mapping[str, str]) -> dict[str, int]:
        parts = self._partitions.items()
        return {name: mark_of(types, self._customer, entries) for name, entries in parts}

    def _changed(self, marks: Mapping[str, int]) -> list[str]:
        return [name for name, mark in marks.items() if self._target.mark(name) != mark]

    def _with_customer(self, types: Mapping[str, str]) -> dict[str, str]:
        return {CUSTOMER: "enum", **types} if self._customer else dict(types)

    def _batches(self, entries: Iterable[Entry], schema: Any) -> Iterator[Any]:
        for entry in entries:
            for columns in read_day(self._store, entry):
                named = dict(zip(self._store.dataset.columns, columns, strict=True))
                if self._customer:
                    named[CUSTOMER] = [self._customer] * len(columns[0])
                fields = [field for field in schema if field.name in named]
                arrays = [array_of(f.name, named[f.name], f.type) for f in fields]
                yield pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def partitions_of(store: Store, target: Target) -> dict[str, list[Entry]]:
    """Return the days that are held, by the name of their partition, in order."""
    length = len("2024-02" if target.key.endswith("month") else "2024-02-29")
    groups = groupby(store.held_entries(), key=lambda entry: f"{entry.day}"[:length])
    return {name: list(entries) for name, entries in groups}
