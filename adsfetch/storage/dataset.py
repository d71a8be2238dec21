"""The description of a dataset, stored beside its days so that nothing else is mixed in."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from adsfetch.errors import StoreError, UsageError
from adsfetch.storage import atomic


@dataclass(frozen=True)
class Dataset:
    """The source and shape of a dataset, the range requested so far, the state of the aggregate.

    The fields are the keys of dataset.json.
    """

    source: str = ""
    columns: tuple[str, ...] = ()
    escape_formulas: bool = False
    time_zone: str = ""
    wanted_from: date | None = None
    wanted_to: date | None = None
    aggregate: dict[str, Any] = field(default_factory=dict)

    def for_source(self, source: str, *, escape_formulas: bool, has_days: bool) -> "Dataset":
        """Return the dataset with this source; raise UsageError when it has another one."""
        if self.source not in ("", source):
            raise UsageError(
                f"this dataset contains the rows of {self.source}, not of {source}; "
                "choose another name with --dataset"
            )
        if escape_formulas and not self.escape_formulas and has_days:
            raise UsageError(
                "this dataset was created without --escape-formulas; "
                "choose another name with --dataset"
            )
        escape = escape_formulas or self.escape_formulas
        return replace(self, source=source, escape_formulas=escape)

    def with_range(self, start: date, end: date) -> "Dataset":
        """Return the dataset with its range widened to include this one."""
        return replace(
            self,
            wanted_from=min(start, self.wanted_from or start),
            wanted_to=max(end, self.wanted_to or end),
        )


def load(path: Path) -> Dataset:
    """Return the dataset that a file describes; without a file, a new dataset."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["columns"] = tuple(record["columns"])
        for name in ("wanted_from", "wanted_to"):
            record[name] = date.fromisoformat(record[name]) if record[name] else None
        return Dataset(**record)
    except FileNotFoundError:
        return Dataset()
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{path} is damaged ({error}); delete this file, no day is lost"
        ) from error


def save(path: Path, dataset: Dataset) -> None:
    """Replace the description as a whole."""
    atomic.write_file(path, json.dumps(asdict(dataset), default=str, indent=1).encode() + b"\n")
