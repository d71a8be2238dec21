"""The description of a dataset, stored beside its days so that nothing else is mixed in."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from adsfetch.errors import StoreError, UsageError
from adsfetch.storage.atomic import read_file, write_file

Range = tuple[date, date]
LOOKBACK = 30
ONE_DAY = timedelta(1)


@dataclass(frozen=True)
class Dataset:
    """The source and shape of a dataset, what was requested, the state of the aggregate.

    The fields are the keys of dataset.json. ``requested`` are the ranges that commands named,
    oldest first, both ends included, none of them adjacent. ``daily`` is whether ``update`` keeps
    the dataset up to date. ``days_available`` is how many days back the last run could fetch.
    ``types`` are those of the columns, as far as the source knows them (see ``Batch``).
    ``remembered`` are the options of the source, with which ``update`` makes it again.
    """

    source: str = ""
    remembered: dict[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    types: dict[str, str] = field(default_factory=dict)
    escape_formulas: bool = False
    time_zone: str = ""
    requested: tuple[Range, ...] = ()
    daily: bool = False
    lookback: int = LOOKBACK
    earliest_days: int | None = None
    days_available: int | None = None
    aggregate: dict[str, Any] = field(default_factory=dict)

    @property
    def wanted_from(self) -> date | None:
        return self.requested[0][0] if self.requested else None

    @property
    def wanted_to(self) -> date | None:
        return self.requested[-1][1] if self.requested else None

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
        """Return the dataset with this range requested too."""
        merged: list[Range] = []
        for first, last in sorted([*self.requested, (start, end)]):
            if merged and (first - merged[-1][1]).days <= 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        return replace(self, requested=tuple(merged))

    def without_range(self, start: date, end: date) -> "Dataset":
        """Return the dataset as if the days of this range had not been requested."""
        ranges = self.requested
        before = [(first, min(last, start - ONE_DAY)) for first, last in ranges if first < start]
        after = [(max(first, end + ONE_DAY), last) for first, last in ranges if last > end]
        return replace(self, requested=tuple(before + after))

    def gaps(self) -> list[Range]:
        """Return the ranges between those that were requested."""
        pairs = pairwise(self.requested)
        return [(one[1] + ONE_DAY, other[0] - ONE_DAY) for one, other in pairs]


def load(path: Path) -> Dataset:
    """Return the dataset that a file describes; without a file, a new dataset."""
    try:
        text = read_file(path).decode("utf-8-sig")
        return parse(json.loads(text)) if path.exists() else Dataset()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{path} is damaged ({error}); delete this file, no day is lost"
        ) from error


def parse(record: dict[str, Any]) -> Dataset:
    """Return the dataset of a record; names that this version does not know are ignored."""
    known = {item.name: record[item.name] for item in fields(Dataset) if item.name in record}
    ends = [record.get("wanted_from"), record.get("wanted_to")]
    if "requested" not in record and all(ends):  # written by an older version
        known["requested"] = [ends]
    known["requested"] = tuple(
        (date.fromisoformat(first), date.fromisoformat(last))
        for first, last in sorted(known.get("requested", ()))
    )
    if not isinstance(known.get("columns", []), list):
        raise TypeError("columns must be a list")
    known["columns"] = tuple(known.get("columns", ()))
    dataset = Dataset(**known)
    check_types(dataset)
    return dataset


def check_types(dataset: Dataset) -> None:
    """Raise TypeError for a value of a wrong type, which a program or a hand has written."""
    numbers = dataset.lookback, dataset.earliest_days or 0, dataset.days_available or 0
    right = (
        all(isinstance(text, str) for text in (dataset.source, dataset.time_zone, *dataset.columns))
        and all(isinstance(flag, bool) for flag in (dataset.escape_formulas, dataset.daily))
        and all(isinstance(number, int) and number >= 0 for number in numbers)
        and isinstance(dataset.aggregate, dict)
        and isinstance(dataset.types, dict)
        and isinstance(dataset.remembered, dict)
        and all(isinstance(text, str) for text in dataset.types.values())
        and all(isinstance(text, str) for text in dataset.remembered.values())
        and all(first <= last for first, last in dataset.requested)
    )
    if not right:
        raise TypeError("a value has the wrong type")


def save(path: Path, dataset: Dataset) -> None:
    """Replace the description as a whole."""
    ends = {"wanted_from": dataset.wanted_from, "wanted_to": dataset.wanted_to}
    record = {**asdict(dataset), **ends}  # the ends are for other programs
    write_file(path, json.dumps(record, default=str, indent=1).encode() + b"\n")
