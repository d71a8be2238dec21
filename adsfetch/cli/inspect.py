"""The commands that look at what is held, and ask nobody for anything."""

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
    apply,
    folder_of,
)
from adsfetch.cli.output import examples, say, show
from adsfetch.dates import days_between, parse_day, today_in, zone
from adsfetch.errors import UsageError
from adsfetch.plan import unfinished
from adsfetch.storage import aggregate as put_together
from adsfetch.storage.atomic import replace
from adsfetch.storage.lock import only_one
from adsfetch.storage.store import Store

range_options = apply(
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
    """List the days that are not final yet, of all that were ever wanted or from START to END."""
    store = Store(folder_of(options["out"], options["dataset"])).load()
    days = unfinished(store, wanted(store, start, end, options["today"]), options["lookback"])
    states = {str(day): store.state(day, options["lookback"]) for day in days}
    record = {"dataset": store.folder.name, "missing": list(states), "states": states}
    lines = [f"{day}  {state}" for day, state in states.items()]
    show(record, "\n".join(lines) or "no day is missing", as_json=options["as_json"])


@click.command(
    epilog=examples("adsfetch status --out data", "adsfetch status --out data --html calendar.html")
)
@range_options
@click.option("--html", type=FILE, help="Write the calendar as a page to this file.")
def status(start: str | None, end: str | None, html: Path | None, **options: Any) -> None:
    """Draw the calendar of a dataset: final, empty, provisional, failed and missing days."""
    store = Store(folder_of(options["out"], options["dataset"])).load()
    calendar = drawn(store, wanted(store, start, end, options["today"]), options["lookback"])
    if html:
        replace(html, calendar.as_html().encode())
    show(described(store, calendar), calendar.as_text(), as_json=options["as_json"])


@click.command(epilog=examples("adsfetch verify --out data"))
@OUT
@DATASET
@LOCK
@JSON
def verify(out: Path, dataset: str | None, lock_wait: float, as_json: bool) -> None:
    """Read every file again; a day that was cut, edited or deleted counts as missing from now on.

    Ends with 1 when it finds one; the next run fetches just that day again.
    """
    with opened(folder_of(out, dataset), lock_wait, thorough=True) as store:
        damaged = {
            str(day): entry.problem
            for day, entry in sorted(store.entries.items())
            if entry.sha256 and not entry.held
        }
        record = {"dataset": store.folder.name, "days": len(store.held()), "damaged": damaged}
    lines = [f"{day}  {problem}" for day, problem in damaged.items()]
    head = f"{record['dataset']}: {record['days']} days are whole, {len(damaged)} are not"
    show(record, "\n".join([head, *lines]), as_json=as_json)
    click.get_current_context().exit(int(bool(damaged)))


@click.command(epilog=examples("adsfetch aggregate --out data"))
@OUT
@DATASET
@LOCK
@JSON
def aggregate(out: Path, dataset: str | None, lock_wait: float, as_json: bool) -> None:
    """Write all.csv again from the files of the days; fetching does it too."""
    with opened(folder_of(out, dataset), lock_wait) as store:
        written = put_together.aggregate(store)
        rows = sum(entry.rows for entry in store.held())
        record = {"file": str(store.all), "days": len(store.held()), "rows": rows}
    done = "written" if written else "up to date"
    text = f"{record['file']}: {done}, {record['days']} days, {rows} rows"
    show({**record, "written": written}, text, as_json=as_json)


@contextmanager
def opened(folder: Path, lock_wait: float, *, thorough: bool = False) -> Iterator[Store]:
    """Hold a dataset that is there already, and write down what its files say."""
    if not folder.is_dir():
        raise UsageError(f"there is no dataset {folder}")
    with only_one(folder / "lock", lock_wait, say):
        store = Store(folder).load(thorough=thorough)
        store.settle()
        store.describe(store.dataset)
        yield store


def wanted(store: Store, start: str | None, end: str | None, today: str | None) -> list[date]:
    """Return the days to look at: as told, or all that runs have asked for so far."""
    name = store.dataset.time_zone
    now = today_in(zone(name) if name else None)
    now = parse_day(today, now) if today else now
    known = [*store.entries, store.dataset.wanted_from, store.dataset.wanted_to]
    days = [day for day in known if day]
    if not days and not (start and end):
        raise UsageError(f"nothing was ever fetched into {store.folder}; name START and END")
    first = parse_day(start, now) if start else min(days)
    last = parse_day(end, now) if end else max(days, default=first)
    return days_between(first, last)


def drawn(store: Store, days: list[date], lookback: int) -> Calendar:
    """Return the calendar of some days."""
    rows = {entry.day: entry.rows for entry in store.held()}
    return Calendar(store.folder.name, {day: store.state(day, lookback) for day in days}, rows)


def described(store: Store, calendar: Calendar) -> dict[str, Any]:
    """Return a calendar for programs."""
    states = {str(day): state for day, state in calendar.states.items()}
    facts = {"source": store.dataset.source, "time_zone": store.dataset.time_zone}
    return {"dataset": store.folder.name, **facts, "counts": calendar.counts, "days": states}
