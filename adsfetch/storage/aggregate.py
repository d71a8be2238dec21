"""The aggregate: all stored days in one file, in the order of their dates."""

import hashlib
import shutil
from codecs import BOM_UTF8
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from adsfetch.errors import StoreError
from adsfetch.storage import atomic
from adsfetch.storage.csv import RowEncoder
from adsfetch.storage.states import Entry
from adsfetch.storage.store import Store


def write_aggregate(store: Store, *, excel: bool = False) -> bool:
    """Write the aggregate if it or a stored day has changed; return whether it was written.

    The files of the days are copied as bytes: no parsing, and constant memory. A copy for Excel
    is written too if ``excel`` asks for it, and from then on for as long as it exists.
    """
    entries = store.held_entries()
    origin = fingerprint(store.dataset.columns, entries)
    has_copy = "excel" in store.dataset.aggregate and store.excel_path.exists()
    if store.dataset.aggregate == record_of(store, origin, excel=excel or has_copy):
        return False
    concatenate(store, entries)
    if excel or has_copy:
        copy_for_excel(store.aggregate_path, store.excel_path)
    record = record_of(store, origin, excel=excel or has_copy)
    store.save_description(replace(store.dataset, aggregate=record))
    return True


def record_of(store: Store, origin: str, *, excel: bool) -> dict[str, Any]:
    """Return what is recorded of the files: their stamps, and the days that they are made of."""
    record = {**file_stamp(store.aggregate_path), "origin": origin}
    return {**record, "excel": file_stamp(store.excel_path)} if excel else record


def concatenate(store: Store, entries: Iterable[Entry]) -> None:
    """Write the aggregate to a temporary file, then rename it."""
    columns, target = store.dataset.columns, store.aggregate_path
    header = RowEncoder(columns).header if columns else b""
    with atomic.temporary_file(target) as temp, atomic.disk_errors(target):
        temp.write(header)
        for entry in entries:
            path = store.day_path(entry.day)
            with atomic.read_errors(path):
                file = path.open("rb")
            with file:
                if file.read(len(header)) not in (header, b""):
                    raise StoreError(f"{path} has other columns than the dataset: move it away")
                shutil.copyfileobj(file, temp)
    atomic.move_into_place(Path(temp.name), target)


def copy_for_excel(source: Path, target: Path) -> None:
    """Copy a CSV file with the mark by which Excel knows that it is UTF-8."""
    with atomic.temporary_file(target) as temp, atomic.disk_errors(target):
        temp.write(BOM_UTF8)
        with atomic.read_errors(source):
            file = source.open("rb")
        with file:
            shutil.copyfileobj(file, temp)
    atomic.move_into_place(Path(temp.name), target)


def fingerprint(columns: Iterable[str], entries: Iterable[Entry]) -> str:
    """Return a hash that changes with the columns and with every day."""
    parts = [*columns, *(f"{entry.day} {entry.sha256}" for entry in entries)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_stamp(path: Path) -> dict[str, Any]:
    """Return the size and modification time of a file, by which an edit is noticed."""
    try:
        stat = path.stat()
    except OSError:  # also a link that leads nowhere
        return {}
    return {"size": stat.st_size, "changed": stat.st_mtime_ns}
