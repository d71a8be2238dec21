"""The rows of a dataset as an export reads them: day by day, in columns of text."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice

from adsfetch.errors import StoreError
from adsfetch.storage.atomic import read_errors
from adsfetch.storage.csv import read_rows
from adsfetch.storage.states import Entry
from adsfetch.storage.store import Store
from adsfetch.storage.verify import sha256_of

ROWS_AT_ONCE = 1000

Columns = list[Sequence[str]]


def read_day(store: Store, entry: Entry) -> Iterator[Columns]:
    """Yield some rows of a day after the other, as the columns of the dataset, in their order.

    A column that the file does not have is blank. Raise StoreError for a file that is not the
    one that was recorded, has other columns, or is no CSV.
    """
    path, names = store.day_path(entry.day), store.dataset.columns
    try:
        with read_errors(path):
            if sha256_of(path) != entry.sha256:  # what is exported counts as this content
                raise StoreError(f"{path} is not as it was fetched: run adsfetch verify")
            lines = read_rows(path)
            header = next(lines, [])
            if {*header} - {*names}:
                raise StoreError(f"{path} has other columns than the dataset: move it away")
            while chunk := list(islice(lines, ROWS_AT_ONCE)):
                found = dict(zip(header, zip(*chunk, strict=True), strict=True))
                blank = [""] * len(chunk)
                yield [found.get(name, blank) for name in names]
    except (csv.Error, ValueError) as error:
        raise StoreError(f"{path} is damaged ({error}): run adsfetch verify") from error
