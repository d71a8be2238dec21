"""The command ``aggregate``: all days in one file, also for Excel, or sums over groups of rows."""

from pathlib import Path
from typing import Any

import click

from adsfetch.cli.inspect import dataset_options, open_dataset
from adsfetch.cli.options import FILE, QUIET, folder_of
from adsfetch.cli.output import examples, print_note, print_result
from adsfetch.cli.output_file import check_output_file, write_output_file
from adsfetch.errors import UsageError
from adsfetch.export.groups import Groups
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.store import Store

EXCEL_MARK = "\ufeff"


@click.command(
    short_help="Write all.csv again, or print sums over groups of rows.",
    epilog=examples(
        "adsfetch aggregate --out data",
        "adsfetch aggregate --by month --by campaign.id --out data --to months.csv --excel",
    ),
)
@dataset_options
@QUIET
@click.option(
    "--by",
    multiple=True,
    metavar="week|month|COLUMN",
    help="Print sums for each week, month or value instead; may be repeated.",
)
@click.option("--to", type=FILE, help="Write the sums to this file.")
@click.option(
    "--excel",
    is_flag=True,
    help="Write CSV that Excel opens as UTF-8; without --by a copy, all.excel.csv.",
)
def aggregate(by: tuple[str, ...], to: Path | None, **options: Any) -> None:
    """Write all.csv again from the files of the days; every fetching command does it too.

    With --by it prints exact sums over groups of rows as CSV, with a line of totals. Ratios and
    other columns whose sum would mean nothing are left out, with a note.
    """
    if to and not by:
        raise UsageError("--to is the file of the sums: name a group with --by")
    if to:
        check_output_file(to, options["out"])
    folder = folder_of(options["out"], options["dataset"])
    with open_dataset(folder, options["lock_wait"], quiet=options["quiet"]) as store:
        groups = Groups(store, by) if by else None
        written = not by and write_aggregate(store, excel=options["excel"])
    if groups is not None:
        print_groups(store, groups, to, options)
        return
    entries = store.held_entries()
    rows = sum(entry.rows for entry in entries)
    path = (store.excel_path if options["excel"] else store.aggregate_path).absolute()
    record = {"file": str(path), "days": len(entries), "rows": rows, "written": written}
    done = "written" if written else "up to date"
    text = f"{path}: {done}, {len(entries)} days, {rows} rows"
    print_result(record, text, as_json=options["as_json"], quiet=options["quiet"])


def print_groups(store: Store, groups: Groups, to: Path | None, options: dict[str, Any]) -> None:
    """Print or write the sums, and say what is not in them."""
    missing = days_not_held(store)
    for note in [] if options["quiet"] else notes_on(groups, missing):
        print_note(note)
    record = {
        "dataset": store.folder.name,
        "by": groups.by,
        "sums": groups.names,
        "groups": [*groups],
        "total": groups.total,
        "not_additive": groups.not_additive,
        "mixed": sorted(groups.mixed),
        "days_not_held": missing,
    }
    text = (EXCEL_MARK if options["excel"] else "") + groups.as_csv()
    if to:
        write_output_file(to, text)
        text = f"{len(groups)} groups\n{to.absolute()}: written\n"
    as_json, quiet = options["as_json"], options["quiet"]
    print_result(record, text.removesuffix("\n"), as_json=as_json, quiet=quiet)


def notes_on(groups: Groups, missing: int) -> list[str]:
    """Return what the reader of the sums should know."""
    notes = []
    if groups.not_additive:
        names = ", ".join(groups.not_additive)
        notes.append(f"not summed, because they are no amounts that add up: {names}")
    if groups.mixed:
        names = ", ".join(sorted(groups.mixed))
        notes.append(f"not summed, because some of their cells are no numbers: {names}")
    if missing:
        notes.append(f"{missing} days between the first and the last one are not held")
    return notes


def days_not_held(store: Store) -> int:
    """Return how many days are missing between the first and the last one that is held."""
    days = [entry.day for entry in store.held_entries()]
    return (days[-1] - days[0]).days + 1 - len(days) if days else 0
