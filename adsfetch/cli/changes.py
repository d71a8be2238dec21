"""The command ``changes``: what fetching again has altered, and the lookback that follows."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

from adsfetch.cli.options import DATASET, JSON, OUT, datasets_in, folder_of
from adsfetch.cli.output import examples, print_result
from adsfetch.errors import UsageError
from adsfetch.storage.changes import Alteration, Change, alterations, load
from adsfetch.storage.dataset import load as load_dataset
from adsfetch.storage.store import Store
from adsfetch.storage.sums import text_of_number


@click.command(
    short_help="Show what fetching days again has altered.",
    epilog=examples("adsfetch changes --out data", "adsfetch changes --out data --json"),
)
@OUT
@DATASET
@JSON
def changes(out: Path, dataset: str | None, as_json: bool) -> None:
    """Show what fetching days again has altered, by their age, and the lookback that follows.

    The lookback of a column is the age, in days, by which 99.9 % of its alteration had been
    seen; the alteration is the sum of the absolute differences of the sums of the days. Without
    --dataset, several datasets are listed with the longest lookback of their columns.
    """
    folders = [folder_of(out, name) for name in ([dataset] if dataset else datasets_in(out))]
    found = {folder.name: load_changes(folder) for folder in folders}
    records = [record_of(name, *each) for name, each in found.items()]
    record = records[0] if len(records) == 1 else {"datasets": records}
    text = text_of(records[0]) if len(records) == 1 else overview(records)
    print_result(record, text, as_json=as_json)


def load_changes(folder: Path) -> tuple[int, list[Change]]:
    """Return the lookback of a dataset, and what was altered; raise UsageError without one."""
    store = Store(folder)
    if not store.exists():
        raise UsageError(f"there is no dataset {folder}")
    return load_dataset(folder / "dataset.json").lookback, load(store.changes_path)


def record_of(name: str, lookback: int, found: Sequence[Change]) -> dict[str, Any]:
    """Return what the command prints as JSON; sums are exact decimal texts."""
    ages = Counter(change.age for change in found)
    altered = alterations(found)
    return {
        "dataset": name,
        "changes": len(found),
        "days": len({change.day for change in found}),
        "from": str(min((change.when for change in found), default="")),
        "to": str(max((change.when for change in found), default="")),
        "changes_by_age": {str(age): ages[age] for age in sorted(ages)},
        "columns": {name: record_of_column(item) for name, item in altered.items()},
        "lookback": lookback,
        "lookback_needed": max((item.lookback for item in altered.values()), default=0),
    }


def record_of_column(item: Alteration) -> dict[str, Any]:
    """Return how much one column was altered."""
    by_age = {str(age): text_of_number(item.by_age[age]) for age in sorted(item.by_age)}
    return {
        "altered": text_of_number(item.total),
        "net": text_of_number(item.net),
        "lookback": item.lookback,
        "by_age": by_age,
    }


def overview(records: Iterable[dict[str, Any]]) -> str:
    """Return a table of datasets; those with the longest lookbacks come first."""
    head = ("dataset", "changes", "lookback needed", "lookback")
    keys = ("dataset", "changes", "lookback_needed", "lookback")
    ordered = sorted(records, key=lambda record: -record["lookback_needed"])
    return "\n".join(table([head, *(tuple(str(r[key]) for key in keys) for r in ordered)]))


def text_of(record: dict[str, Any]) -> str:
    """Return two tables: the columns, and their alteration by age."""
    if not record["changes"]:
        return f"{record['dataset']}: no day that was held was replaced by other rows so far"
    altered = {name: item for name, item in record["columns"].items() if item["altered"] != "0"}
    columns = [("column", "altered", "net", "lookback")]
    for name, item in altered.items():
        net = item["net"] if item["net"].startswith("-") else f"+{item['net']}"
        columns.append((name, item["altered"], net, str(item["lookback"])))
    ages = [("age", "days", *altered)]
    for age, number in record["changes_by_age"].items():
        cells = (item["by_age"].get(age, "") for item in altered.values())
        ages.append((age, str(number), *cells))
    head = (
        f"{record['dataset']}: {record['changes']} times a day was replaced by other rows, "
        f"{record['days']} days, seen from {record['from']} to {record['to']}"
    )
    return "\n".join([head, "", *table(columns), "", *table(ages), "", *advice(record)])


def advice(record: dict[str, Any]) -> list[str]:
    """Return which lookback follows, and what cannot be seen."""
    lookback, needed = record["lookback"], record["lookback_needed"]
    lines = [
        f"--lookback {needed} would have caught 99.9 % of the alteration of each column; "
        f"the lookback is {lookback}"
    ]
    if needed >= lookback:
        lines.append("alteration was seen until its end: a longer one may be needed")
    lines.append(
        "what changes after the lookback is not fetched, so not seen here: "
        "adsfetch verify --against-source finds it"
    )
    return lines


def table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Yield aligned lines: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells]).rstrip()
