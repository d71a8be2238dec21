"""Datasets that tests make without a source, and what is read back from their exports."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from deltalake import DeltaTable

from adsfetch.export.delta import DeltaTarget
from adsfetch.export.parquet import ParquetTarget
from adsfetch.export.run import Export, Exported
from adsfetch.export.target import KEYS
from adsfetch.storage.store import Store

TARGETS = {"parquet": ParquetTarget, "delta": DeltaTarget}
TODAY = date(2024, 6, 1)


def make_dataset(folder: Path, days: Mapping[str, Any], **description: Any) -> Store:
    """Store the rows of some days, in a new dataset or one that is there."""
    store = Store(folder).load().set_today(TODAY)
    store.reconcile()
    store.save_description(replace(store.dataset, **description))
    for day, rows in days.items():
        store.commit(store.staging().write(date.fromisoformat(day), rows))
    store.add_headers()
    return store


def export(store: Store, folder: Path, form: str, partition: str = "month") -> Exported:
    """Export a dataset."""
    return Export(store, TARGETS[form](folder, KEYS[partition])).run()


def table_in(folder: Path, form: str) -> Any:
    """Return the export as a table of Arrow, without the column of the partitions."""
    table = pq.read_table(folder) if form == "parquet" else DeltaTable(folder).to_pyarrow_table()
    return table.drop_columns([key for key in KEYS.values() if key in table.column_names])


def rows_in(folder: Path, form: str) -> list[dict[str, Any]]:
    """Return the rows of an export, in the order of their texts."""
    return sorted(table_in(folder, form).to_pylist(), key=repr)


def state_of(folder: Path, form: str) -> Any:
    """Return what changes with every write: the version of a table, or the times of the files."""
    if form == "delta":
        return DeltaTable(folder).version()
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
