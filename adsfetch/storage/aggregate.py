"""All finished days in one file, in the order of their dates."""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from adsfetch.storage import atomic as durable
from adsfetch.storage.csv import Table, copy_body
from adsfetch.storage.manifest import Entry
from adsfetch.storage.store import Store


def aggregate(store: Store) -> bool:
    """Write the aggregate if it is not the one of the days held; tell whether it was written.

    The days are copied as they are, so neither time for parsing nor memory goes into it.
    """
    held = store.held()
    origin = fingerprint(store.dataset.columns, held)
    if store.dataset.aggregate == {**facts(store.all), "origin": origin}:
        return False
    write(store, held)
    store.describe(replace(store.dataset, aggregate={**facts(store.all), "origin": origin}))
    return True


def write(store: Store, held: Iterable[Entry]) -> None:
    """Write the aggregate beside the old one, then put it in its place."""
    columns = store.dataset.columns
    header = Table(columns).header if columns else b""
    with durable.writing(store.all) as part:
        part.write(header)
        for entry in held:
            with durable.disk_errors(store.all):
                copy_body(store.path(entry.day), len(header), part.write)
    durable.put_in_place(part.path, store.all)


def fingerprint(columns: Iterable[str], held: Iterable[Entry]) -> str:
    """Return what changes as soon as a day does."""
    parts = [*columns, *(f"{entry.day} {entry.sha256}" for entry in held)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def facts(path: Path) -> dict[str, Any]:
    """Return by what an untouched file is known."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return {}
    return {"size": stat.st_size, "changed": stat.st_mtime_ns}
