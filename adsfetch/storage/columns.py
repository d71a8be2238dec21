"""Add columns to a dataset: the days that are held keep their rows, with blank cells."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from adsfetch.errors import UsageError
from adsfetch.storage import verify
from adsfetch.storage.atomic import read_errors
from adsfetch.storage.csv import read_rows
from adsfetch.storage.staging import Staging
from adsfetch.storage.store import Store


def add_columns(store: Store, columns: tuple[str, ...]) -> int:
    """Give all held days these columns, in this order; return how many files were rewritten.

    Raise UsageError if one of their columns is not among these. A killed run leaves some days
    with the new columns, and is completed by the same command.
    """
    missing = set(store.dataset.columns) - set(columns)
    if missing:
        raise UsageError(
            f"{store.folder.name} has columns that the query does not select: "
            f"{', '.join(sorted(missing))}; choose another name with --dataset for it"
        )
    staging = Staging(store.days_folder, columns, escape_formulas=store.dataset.escape_formulas)
    rewritten = 0
    for entry in store.held_entries():
        path = store.day_path(entry.day)
        if entry.size and verify.read_header(path) != columns:
            with read_errors(path):
                store.replace_rows(staging.write(entry.day, widened(path, columns)))
            rewritten += 1
    store.save_description(replace(store.dataset, columns=columns))
    return rewritten


def widened(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, str]]:
    """Yield the rows of a day, with blank cells where it has no such column."""
    lines = read_rows(path)
    header = next(lines)
    blank = dict.fromkeys(columns, "")
    for cells in lines:
        yield {**blank, **dict(zip(header, cells, strict=True))}
