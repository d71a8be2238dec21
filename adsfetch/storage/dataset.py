"""What a dataset is made of, kept beside its days so that nothing else is mixed in."""

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from adsfetch.errors import StoreError, UsageError
from adsfetch.storage import atomic as durable


@dataclass(frozen=True)
class Dataset:
    """The fixed facts of a dataset, the range asked for so far, and the aggregate's origin."""

    source: str = ""
    columns: tuple[str, ...] = ()
    escape_formulas: bool = False
    time_zone: str = ""
    wanted_from: date | None = None
    wanted_to: date | None = None
    aggregate: dict[str, Any] = field(default_factory=dict)

    def claimed_by(self, source: str, *, escape_formulas: bool, has_days: bool) -> "Dataset":
        """Return the dataset as this source's own; raise UsageError when it is another's."""
        if self.source not in ("", source):
            raise UsageError(
                f"this dataset holds the rows of {self.source}, not of {source}; "
                "name another one with --dataset"
            )
        if escape_formulas and not self.escape_formulas and has_days:
            raise UsageError(
                "this dataset was begun without --escape-formulas; name another with --dataset"
            )
        escape = escape_formulas or self.escape_formulas
        return replace(self, source=source, escape_formulas=escape)

    def wanting(self, start: date, end: date) -> "Dataset":
        """Return the dataset with a range that takes in this one too."""
        return replace(
            self,
            wanted_from=min(start, self.wanted_from or start),
            wanted_to=max(end, self.wanted_to or end),
        )


def load(path: Path) -> Dataset:
    """Return the dataset that a file describes; without one, a new dataset."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record["columns"] = tuple(record["columns"])
        for name in ("wanted_from", "wanted_to"):
            record[name] = date.fromisoformat(record[name]) if record[name] else None
        return Dataset(**record)
    except FileNotFoundError:
        return Dataset()
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} is damaged ({error}); delete it, the days are kept") from error


def save(path: Path, dataset: Dataset) -> None:
    """Write the description whole."""
    durable.replace(path, json.dumps(asdict(dataset), default=str, indent=1).encode() + b"\n")
