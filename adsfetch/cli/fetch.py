"""The commands that fetch: ``fetch``, ``backfill`` and ``update``."""

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import click

from adsfetch.cli.days import END, START, RangeCommand
from adsfetch.cli.options import Number, run_options, settings_of, source_options
from adsfetch.cli.output import examples, no_note, print_note, print_parts, print_result
from adsfetch.cli.run_record import RunRecord
from adsfetch.cli.sources import Group, groups_of
from adsfetch.dataset_run import Notify, Settings
from adsfetch.dates import check_range, is_relative, parse_range, ranges_of, today_in
from adsfetch.errors import FatalError, UsageError
from adsfetch.plan import (
    Plan,
    WantedRange,
    between,
    daily,
    forecast,
    forecast_lines,
    last_years,
)
from adsfetch.run import Run
from adsfetch.totals import Totals


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
@click.option("--refetch", is_flag=True, help="Fetch final days again, too.")
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
    short_help="Fetch whole years up to yesterday.",
    epilog=examples(
        "adsfetch backfill --source adsfetch.example:fetch_data --out data",
        "adsfetch backfill --years 3 --customer-id 123-456-7890 --out data",
    ),
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
    short_help="The daily run: new, restated and missing days up to today.",
    epilog=examples(
        "adsfetch update --source adsfetch.example:fetch_data --out data",
        "adsfetch update --lookback 14 --customer-id 123-456-7890 --out data",
    ),
)
@source_options
@run_options
def update(**options: Any) -> None:
    """Fetch new, restated and missing days up to today: the daily run.

    Without a source it is the daily run of every dataset in DIR, each from its own source.
    """
    run_fetch(daily(), {**options, "may_remember": True})


def run_fetch(wanted: WantedRange, options: dict[str, Any]) -> None:
    """Run, print the summary, and exit with its code."""
    quiet, as_json = options["quiet"], options["as_json"]
    if options["dry_run"]:
        settings, groups = prepared(options)
        plans = [plan for group in groups for plan in Run(group, settings).preview(wanted)]
        print_plans(plans, settings, as_json=as_json)
        return
    with RunRecord(options["out"], options["metrics_file"], options["today"]) as record:
        settings, groups = prepared(options)
        record.begin([folder for group in groups for _, folder in group])
        runs = [Run(group, settings) for group in groups]
        totals = execute(runs, wanted, no_note if quiet else print_note)
        record.end(totals)
    print_totals(totals, as_json=as_json, quiet=quiet)
    click.get_current_context().exit(record.exit_code)


def prepared(options: dict[str, Any]) -> tuple[Settings, list[Group]]:
    """Return the settings of a run, and its sources."""
    notify = no_note if options["quiet"] else print_note
    try:
        settings = settings_of(options)
        return settings, groups_of(options, settings, notify)
    except FileNotFoundError:
        raise UsageError("the current folder was deleted: change to another one") from None


def execute(runs: Sequence[Run], wanted: WantedRange, notify: Notify) -> list[Totals]:
    """Execute the runs; one that cannot start stops no other one."""
    totals = []
    with redirect_stdout(sys.stderr):  # standard output is for the result, not for the source
        for run in runs:
            try:
                totals.append(run.execute(wanted, notify))
            except FatalError as error:
                if len(runs) == 1:
                    raise
                totals.append(run.failed(error))
    return totals


def print_totals(totals: Sequence[Totals], *, as_json: bool, quiet: bool) -> None:
    """Print the summaries, and what is wrong."""
    print_parts(totals, "runs", "\n\n", as_json=as_json, quiet=quiet)
    for problem in [problem for each in totals for problem in each.problems()]:
        print_note(problem)


def print_plans(plans: Sequence[tuple[str, Plan]], settings: Settings, *, as_json: bool) -> None:
    """Print what a run would fetch; each day is one operation."""
    records, lines = [], []
    for dataset, plan in plans:
        days = [str(day) for day in plan.days]
        records.append(
            {
                "dataset": dataset,
                "from": str(plan.first),
                "to": str(plan.last),
                "days": days,
                "operations": len(days),
            }
        )
        for note in (*plan.notes, *plan.warnings):
            print_note(note)
        head = f"{dataset}: {plan.first} to {plan.last}, {len(days)} days to fetch"
        lines.append(f"{head}, {len(days)} operations")
        if len(plans) == 1:
            lines += ranges_of(plan.days)
    record: dict[str, Any] = records[0] if len(records) == 1 else {"datasets": records}
    budget = settings.budget and settings.budget.limit_and_left()
    if budget:
        spent = forecast([plan for _, plan in plans], *budget)
        record["operations_by_day"] = spent
        lines += forecast_lines(spent, budget)
    print_result(record, "\n".join(lines), as_json=as_json)
