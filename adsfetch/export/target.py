"""Where an export goes: partitions, each with a mark that says of which days it was made."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adsfetch.storage.states import Entry

KEYS = {"month": "partition_month", "date": "partition_date"}
"""The column by which the folders of an export are named."""
VERSION = 1
"""It changes if the same days are to be written in another form."""
ROWS_AT_ONCE, BYTES_AT_ONCE = 100_000, 64 << 20


@dataclass(frozen=True)
class Partition:
    """The days of a month, or one day, to be written; ``name`` is such as 2024-02 or 2024-02-29.

    ``batches`` are record batches of Arrow, which are read once.
    """

    name: str
    mark: int
    batches: Iterable[Any]


class Target:
    """The folder that has the export of one dataset, in partitions by the column ``key``.

    All methods raise StoreError for a folder that cannot be read or written.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key

    @property
    def types(self) -> dict[str, str]:
        """Return the types of the columns that are there."""
        raise NotImplementedError

    @property
    def partitions(self) -> set[str]:
        """Return the names of the partitions that are there."""
        raise NotImplementedError

    def mark(self, name: str) -> int | None:
        """Return the mark with which a partition was written; None if there is none."""
        raise NotImplementedError

    def schema(self, types: Mapping[str, str]) -> Any:
        """Return the schema of Arrow for columns of these types."""
        raise NotImplementedError

    def write(self, partitions: Sequence[Partition], schema: Any) -> None:
        """Replace some partitions of one month; readers see each of them as before or as after."""
        raise NotImplementedError

    def remove(self, names: Iterable[str]) -> None:
        """Remove partitions whose days are no longer held."""
        raise NotImplementedError


def mark_of(types: Mapping[str, str], customer_id: str, entries: Iterable[Entry]) -> int:
    """Return a number that changes with the columns and with every day of a partition."""
    days = [[str(entry.day), entry.sha256] for entry in entries]
    text = json.dumps([VERSION, customer_id, [*types.items()], days])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
