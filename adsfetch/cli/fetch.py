"""The commands that fetch: ``fetch``, ``backfill`` and ``update``."""

import sys
from contextlib import redirect_stdout
from typing import Any

import click

from adsfetch.cli.days import END, START, RangeCommand
from adsfetch.cli.options import (
    Number,
    folder_of,
    run_options,
    settings_of,
    source_of,
    source_options,
)
from adsfetch.cli.output import examples, no_note, print_note, print_result
from adsfetch.dates import check_range, is_relative, parse_range, today_in
from adsfetch.errors import UsageError
from adsfetch.plan import Plan, WantedRange, between, daily, last_years
from adsfetch.run import Run


@click.command(
    cls=RangeCommand,
    epilog=examples(
        "adsfetch fetch 2024-02-27 2024-03-04 --source adsfetch.example:fetch_data --out data",
        "adsfetch fetch -7d yesterday --customer-id 123-456-7890 --out data",
        "adsfetch fetch last-month --customer-id 123-456-7890 --out data",
    ),
)
@START
@END
@source_options
@run_options
def fetch(start: str, end: str | None, **options: Any) -> None:
    """Fetch one report for each day from START to END, both included.

    Final days are not fetched again. Write a day as 2024-02-27, 27 Feb 2024, yesterday, -7d (7
    days ago), or in any other unambiguous form. A month, 2024-02, last-month or this-month, is
    its first day as START and its last day as END, and without END the whole month.
    """
    first, last = parse_range(start, end, today_in(None))
    if not any(is_relative(text) for text in (start, end or start)):
        check_range(first, last)  # before any call
    run_fetch(between(start, end), options)


@click.command(
    epilog=examples(
        "adsfetch backfill --source adsfetch.example:fetch_data --out data",
        "adsfetch backfill --years 3 --customer-id 123-456-7890 --out data",
    )
)
@click.option(
    "--years", type=Number(0, 10_000, min_open=True), default=2.0, help="Number of years."
)
@source_options
@run_options
def backfill(years: float, **options: Any) -> None:
    """Fetch whole years up to yesterday; run it again to continue after an interruption."""
    run_fetch(last_years(years), options)


@click.command(
    epilog=examples(
        "adsfetch update --source adsfetch.example:fetch_data --out data",
        "adsfetch update --lookback 14 --customer-id 123-456-7890 --out data",
    )
)
@source_options
@run_options
def update(**options: Any) -> None:
    """Fetch new, restated and missing days up to today: the daily run."""
    run_fetch(daily(), options)


def run_fetch(wanted: WantedRange, options: dict[str, Any]) -> None:
    """Run, print the summary, and exit with its code."""
    try:
        source = source_of(options)
        folder = folder_of(options["out"], options["dataset"], source.name)
        path = folder.absolute()  # a source may change the current folder
    except FileNotFoundError:
        raise UsageError("the current folder was deleted: change to another one") from None
    run = Run(source, path, settings_of(options))
    if options["dry_run"]:
        print_plan(folder.name, run.preview(wanted), as_json=options["as_json"])
        return
    quiet, as_json = options["quiet"], options["as_json"]
    with redirect_stdout(sys.stderr):  # standard output is for the result, not for the source
        summary = run.execute(wanted, no_note if quiet else print_note)
    print_result(summary.as_json(), summary.as_text(), as_json=as_json, quiet=quiet)
    for problem in summary.problems():
        print_note(problem)
    click.get_current_context().exit(summary.exit_code)


def print_plan(dataset: str, plan: Plan, *, as_json: bool) -> None:
    """Print the days that a run would fetch; each day is one operation."""
    days = [str(day) for day in plan.days]
    record = {
        "dataset": dataset,
        "from": str(plan.first),
        "to": str(plan.last),
        "days": days,
        "operations": len(days),
    }
    head = f"{dataset}: {plan.first} to {plan.last}, {len(days)} days to fetch"
    for note in (*plan.notes, *plan.warnings):
        print_note(note)
    text = "\n".join([f"{head}, {len(days)} operations", *days])
    print_result(record, text, as_json=as_json)
