"""The commands that call no source: they read a dataset, repair its records, or forget days."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from adsfetch.cli.calendar_view import Calendar, open_calendar
from adsfetch.cli.days import END, OPTIONAL_START, START, RangeCommand
from adsfetch.cli.options import (
    DATASET,
    FILE,
    JSON,
    LOCK,
    LOOKBACK,
    OUT,
    QUIET,
    TODAY,
    combine,
    datasets_in,
    folder_of,
    similar_to,
)
from adsfetch.cli.output import examples, no_note, print_note, print_result
from adsfetch.cli.output_file import check_output_file, write_output_file
from adsfetch.cli.overview import Overview
from adsfetch.dates import check_range, parse_day, parse_range, ranges_of, today_in, zone
from adsfetch.errors import UsageError
from adsfetch.plan import notes_on_clock
from adsfetch.storage.aggregate import write_aggregate
from adsfetch.storage.lock import exclusive_lock
from adsfetch.storage.states import DONE
from adsfetch.storage.store import Store

range_options = combine(
    OPTIONAL_START,
    END,
    OUT,
    DATASET,
    LOOKBACK,
    TODAY,
    JSON,
)
dataset_options = combine(OUT, DATASET, LOCK, JSON)


@click.command(
    short_help="List the days that are not final yet, with the reasons.",
    cls=RangeCommand,
    epilog=examples("adsfetch missing --out data", "adsfetch missing 2024-02 --out data"),
)
@range_options
def missing(**options: Any) -> None:
    """List the days that are not final yet, from START to END or of all ever requested."""
    calendar = calendar_of(options)
    states = {str(day): state for day, state in calendar.states.items() if state not in DONE}
    reasons = {day: reason for day, reason in calendar.reasons.items() if day in states}
    lines = [f"{day}  {state}  {reasons.get(day, '')}".rstrip() for day, state in states.items()]
    record = {
        "dataset": calendar.name,
        "missing": list(states),
        "states": states,
        "reasons": reasons,
    }
    print_result(record, "\n".join(lines) or "no day is missing", as_json=options["as_json"])


@click.command(
    short_help="Show the state of each day, and when the last run was.",
    cls=RangeCommand,
    epilog=examples(
        "adsfetch status --out data",
        "adsfetch status -30d yesterday --out data --html calendar.html",
    ),
)
@range_options
@click.option("--html", type=FILE, help="Write the calendar to this file as an HTML page.")
@QUIET
def status(html: Path | None, *, quiet: bool, **options: Any) -> None:
    """Show the calendar of a dataset: one mark for the state of each day.

    It ends with the last day requested, or today if `update` keeps the dataset up to date. If DIR
    has several datasets and --dataset names none, it shows a strip of days for each of them.
    """
    view = view_of(options)
    if html:
        check_output_file(html, options["out"])
        write_output_file(html, view.as_html())
    print_result(view.as_json(), view.as_text(), as_json=options["as_json"], quiet=quiet)
    for problem in view.problems() if quiet else ():
        print_note(problem)


def view_of(options: dict[str, Any]) -> Calendar | Overview:
    """Return the calendar of the dataset, or of all of them if there are several."""
    names = [] if options["dataset"] else datasets_in(options["out"])
    if len(names) < 2:  # noqa: PLR2004 - one is no overview
        return calendar_of(options)
    calendars = [calendar_of({**options, "dataset": name}) for name in names]
    return Overview(calendars, shorten=not options["start"])


@click.command(
    short_help="Delete days, as if they had never been requested.",
    cls=RangeCommand,
    epilog=examples(
        "adsfetch forget 2014-01-01 2014-01-02 --out data --dry-run",
        "adsfetch forget 2014-01-01 2014-01-02 --out data",
    ),
)
@START
@END
@dataset_options
@click.option("--dry-run", is_flag=True, help="Only list the days that would be deleted.")
def forget(start: str, end: str | None, *, dry_run: bool, **options: Any) -> None:
    """Delete the days from START to END, as if they had never been requested.

    `update` then wants the days from the oldest one that is left. A day that is not at the
    beginning is fetched again by the next `update`.
    """
    folder = folder_of(options["out"], options["dataset"])
    with open_dataset(folder, options["lock_wait"]) as store:
        first, last = parse_range(start, end, store.today)
        check_range(first, last)
        days = store.days_in(first, last)
        if not dry_run:
            store.forget(first, last)
            write_aggregate(store)
        remaining, wanted_from = len(store.held_entries()), store.dataset.wanted_from
    names = [str(day) for day in days]
    record = {
        "dataset": folder.name,
        "forgotten": names,
        "wanted_from": str(wanted_from or ""),
        "days": remaining,
    }
    done = "would be forgotten" if dry_run else "forgotten"
    head = f"{folder.name}: {len(days)} days {done}, {remaining} days are held"
    text = "\n".join([f"{head}, wanted from {wanted_from or 'nowhere'}", *ranges_of(days)])
    print_result(record, text, as_json=options["as_json"])


@contextmanager
def open_dataset(
    folder: Path,
    lock_wait: float,
    *,
    thorough: bool = False,
    quiet: bool = False,
    today: str | None = None,
) -> Iterator[Store]:
    """Lock and load an existing dataset, and update its manifest from its files."""
    store = Store(folder)
    if not store.exists():
        raise UsageError(f"there is no dataset {folder}{similar_to(folder)}")
    with exclusive_lock(store.lock_path, lock_wait, no_note if quiet else print_note):
        store.load(thorough=thorough)
        set_today(store, today)
        store.reconcile()
        store.save_description(store.dataset)
        yield store


def set_today(store: Store, day: str | None) -> None:
    """Set the account's today, or the given one, and print what is odd about it."""
    now = today_in(zone(store.dataset.time_zone))
    store.set_today(parse_day(day, now) if day else now)
    for note in notes_on_clock(store):
        print_note(note)


def calendar_of(options: dict[str, Any]) -> Calendar:
    """Return the calendar that the options name, and print what is odd about it."""
    calendar = open_calendar(
        folder_of(options["out"], options["dataset"]),
        options["start"],
        options["end"],
        today=options["today"],
        lookback=options["lookback"],
    )
    for note in notes_on_clock(calendar.store):
        print_note(note)
    return calendar
