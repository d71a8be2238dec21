"""The commands that read a dataset and call no source."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
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
from adsfetch.plan import unfinished
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.atomic import write_file
from adsfetch.storage.lock import exclusive_lock
from adsfetch.storage.store import Store

range_options = combine(
    click.argument("start", type=Day(), required=False),
    click.argument("end", type=Day(), required=False),
    OUT,
    DATASET,
    LOOKBACK,
    TODAY,
    JSON,
)


@click.command(
    epilog=examples(
        "adsfetch missing --out data", "adsfetch missing 2024-02-01 2024-02-29 --out data"
    )
)
@range_options
def missing(start: str | None, end: str | None, **options: Any) -> None:
    """List the days that are not final yet, from START to END or of all ever requested."""
    store = Store(folder_of(options["out"], options["dataset"])).load()
    days = selected_days(store, start, end, options["today"])
    lookback = options["lookback"]
    states = {str(day): store.state(day, lookback) for day in unfinished(store, days, lookback)}
    record = {"dataset": store.folder.name, "missing": list(states), "states": states}
    lines = [f"{day}  {state}" for day, state in states.items()]
    print_result(record, "\n".join(lines) or "no day is missing", as_json=options["as_json"])


@click.command(
    epilog=examples("adsfetch status --out data", "adsfetch status --out data --html calendar.html")
)
@range_options
@click.option("--html", type=FILE, help="Write the calendar to this file as an HTML page.")
def status(start: str | None, end: str | None, html: Path | None, **options: Any) -> None:
    """Show the calendar of a dataset: final, empty, provisional, failed and missing days."""
    store = Store(folder_of(options["out"], options["dataset"])).load()
    days = selected_days(store, start, end, options["today"])
    calendar = calendar_of(store, days, options["lookback"])
    if html:
        write_file(html, calendar.as_html().encode())
    record = calendar_record(store, calendar)
    print_result(record, calendar.as_text(), as_json=options["as_json"])


@click.command(epilog=examples("adsfetch verify --out data"))
@OUT
@DATASET
@LOCK
@JSON
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
@OUT
@DATASET
@LOCK
@JSON
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


def selected_days(
    store: Store, start: str | None, end: str | None, today: str | None
) -> list[date]:
    """Return the days from START to END; without them, the range that runs have requested."""
    name = store.dataset.time_zone
    now = today_in(zone(name) if name else None)
    now = parse_day(today, now) if today else now
    requested = [*store.entries, store.dataset.wanted_from, store.dataset.wanted_to]
    days = [day for day in requested if day]
    if not days and not (start and end):
        raise UsageError(f"nothing was ever fetched into {store.folder}; name START and END")
    first = parse_day(start, now) if start else min(days)
    last = parse_day(end, now) if end else max(days, default=first)
    return days_between(first, last)


def calendar_of(store: Store, days: list[date], lookback: int) -> Calendar:
    """Return the calendar of some days."""
    rows = {entry.day: entry.rows for entry in store.stored_entries()}
    return Calendar(store.folder.name, {day: store.state(day, lookback) for day in days}, rows)


def calendar_record(store: Store, calendar: Calendar) -> dict[str, Any]:
    """Return a calendar as JSON."""
    states = {str(day): state for day, state in calendar.states.items()}
    facts = {"source": store.dataset.source, "time_zone": store.dataset.time_zone}
    return {"dataset": store.folder.name, **facts, "counts": calendar.counts, "days": states}
