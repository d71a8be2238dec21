"""The commands that read a dataset and call no source."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from adsfetch.cli.calendar_view import Calendar
from adsfetch.cli.options import (
    DATASET,
    FILE,
    JSON,
    LOCK,
    LOOKBACK,
    OUT,
    TODAY,
    Day,
    combine,
    folder_of,
)
from adsfetch.cli.output import examples, print_note, print_result
from adsfetch.dates import days_between, parse_day, today_in, zone
from adsfetch.errors import UsageError
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.atomic import write_file
from adsfetch.storage.lock import exclusive_lock
from adsfetch.storage.store import DONE, Store

range_options = combine(
    click.argument("start", type=Day(), required=False),
    click.argument("end", type=Day(), required=False),
    OUT,
    DATASET,
    LOOKBACK,
    TODAY,
    JSON,
)
dataset_options = combine(OUT, DATASET, LOCK, JSON)


@click.command(
    epilog=examples(
        "adsfetch missing --out data", "adsfetch missing 2024-02-01 2024-02-29 --out data"
    )
)
@range_options
def missing(**options: Any) -> None:
    """List the days that are not final yet, from START to END or of all ever requested."""
    calendar = calendar_of(options)
    states = {str(day): state for day, state in calendar.states.items() if state not in DONE}
    record = {"dataset": calendar.name, "missing": list(states), "states": states}
    lines = [f"{day}  {state}" for day, state in states.items()]
    print_result(record, "\n".join(lines) or "no day is missing", as_json=options["as_json"])


@click.command(
    epilog=examples("adsfetch status --out data", "adsfetch status --out data --html calendar.html")
)
@range_options
@click.option("--html", type=FILE, help="Write the calendar to this file as an HTML page.")
def status(html: Path | None, **options: Any) -> None:
    """Show the calendar of a dataset: final, empty, provisional, failed and missing days."""
    calendar = calendar_of(options)
    if html:
        write_file(html, calendar.as_html().encode())
    print_result(calendar.as_json(), calendar.as_text(), as_json=options["as_json"])


@click.command(epilog=examples("adsfetch verify --out data"))
@dataset_options
def verify(out: Path, dataset: str | None, lock_wait: float, as_json: bool) -> None:
    """Read every file again; a truncated, edited or deleted day then counts as missing.

    The exit code is 1 if there is such a day; the next run fetches only those days again.
    """
    with open_dataset(folder_of(out, dataset), lock_wait, thorough=True) as store:
        damaged = {
            str(day): entry.problem
            for day, entry in sorted(store.entries.items())
            if entry.sha256 and not entry.is_stored
        }
        days = len(store.stored_entries())
        record = {"dataset": store.folder.name, "days": days, "damaged": damaged}
    lines = [f"{day}  {problem}" for day, problem in damaged.items()]
    head = f"{record['dataset']}: {days} days are intact, {len(damaged)} are not"
    print_result(record, "\n".join([head, *lines]), as_json=as_json)
    click.get_current_context().exit(int(bool(damaged)))


@click.command(epilog=examples("adsfetch aggregate --out data"))
@dataset_options
def aggregate(out: Path, dataset: str | None, lock_wait: float, as_json: bool) -> None:
    """Write all.csv again from the files of the days; every fetching command does it too."""
    with open_dataset(folder_of(out, dataset), lock_wait) as store:
        written = write_aggregate(store)
        entries = store.stored_entries()
        rows = sum(entry.rows for entry in entries)
        record = {"file": str(store.aggregate_path), "days": len(entries), "rows": rows}
    done = "written" if written else "up to date"
    text = f"{record['file']}: {done}, {record['days']} days, {rows} rows"
    print_result({**record, "written": written}, text, as_json=as_json)


@contextmanager
def open_dataset(folder: Path, lock_wait: float, *, thorough: bool = False) -> Iterator[Store]:
    """Lock and load an existing dataset, and update its manifest from its files."""
    if not folder.is_dir():
        raise UsageError(f"there is no dataset {folder}")
    with exclusive_lock(folder / "lock", lock_wait, print_note):
        store = Store(folder).load(thorough=thorough)
        store.reconcile()
        store.save_description(store.dataset)
        yield store


def calendar_of(options: dict[str, Any]) -> Calendar:
    """Return the calendar from START to END; without them, of the range ever requested."""
    store = Store(folder_of(options["out"], options["dataset"])).load()
    dataset, start, end = store.dataset, options["start"], options["end"]
    now = today_in(zone(dataset.time_zone))
    now = parse_day(options["today"], now) if options["today"] else now
    requested = [*store.entries, *filter(None, (dataset.wanted_from, dataset.wanted_to))]
    if not requested and not (start and end):
        raise UsageError(f"nothing was ever fetched into {store.folder}; name START and END")
    first = parse_day(start, now) if start else min(requested)
    last = parse_day(end, now) if end else max(requested, default=first)
    states = {day: store.state(day, options["lookback"]) for day in days_between(first, last)}
    return Calendar(store, states)
