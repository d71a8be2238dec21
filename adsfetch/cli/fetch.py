"""The commands that fetch."""

from typing import Any

import click

from adsfetch.cli.options import Day, folder_of, run_options, settings_of, source_of, source_options
from adsfetch.cli.output import examples, say, show
from adsfetch.dates import days_between, parse_day, today_in
from adsfetch.plan import Plan, Scope, daily, named, past
from adsfetch.run import Run


@click.command(
    epilog=examples(
        "adsfetch fetch 2024-02-27 2024-03-04 --source adsfetch.example:fetch_data --out data",
        "adsfetch fetch 2024-02-01 yesterday --customer-id 123-456-7890 --out data",
    )
)
@click.argument("start", type=Day())
@click.argument("end", type=Day())
@source_options
@run_options
def fetch(start: str, end: str, **options: Any) -> None:
    """Fetch one report for each day from START to END, both included.

    Days that are final are not asked for again. A day is written 2024-02-27, 27 Feb 2024,
    yesterday, or in any other form that has one meaning.
    """
    today = today_in(None)
    days_between(parse_day(start, today), parse_day(end, today))
    perform(named(start, end), options)


@click.command(
    epilog=examples(
        "adsfetch backfill --source adsfetch.example:fetch_data --out data",
        "adsfetch backfill --years 3 --customer-id 123-456-7890 --out data",
    )
)
@click.option("--years", type=click.FloatRange(0, min_open=True), default=2.0, show_default=True)
@source_options
@run_options
def backfill(years: float, **options: Any) -> None:
    """Fetch whole years up to yesterday; run again, it goes on where it was."""
    perform(past(years), options)


@click.command(
    epilog=examples(
        "adsfetch update --source adsfetch.example:fetch_data --out data",
        "adsfetch update --lookback 14 --customer-id 123-456-7890 --out data",
    )
)
@source_options
@run_options
def update(**options: Any) -> None:
    """Fetch what is new, restated or missing up to today: the daily run."""
    perform(daily(options["lookback"]), options)


def perform(scope: Scope, options: dict[str, Any]) -> None:
    """Run, report, and end with the exit code of the outcome."""
    source = source_of(options)
    folder = folder_of(options["out"], options["dataset"], source.name)
    run = Run(source, folder, settings_of(options))
    if options["dry_run"]:
        preview(folder.name, run.preview(scope), as_json=options["as_json"])
        return
    summary = run.execute(scope, say)
    show(summary.as_json(), summary.as_text(), as_json=options["as_json"])
    click.get_current_context().exit(summary.exit_code)


def preview(dataset: str, todo: Plan, *, as_json: bool) -> None:
    """Print what a run would ask for: one operation for each day."""
    days = [str(day) for day in todo.days]
    record = {
        "dataset": dataset,
        "from": str(todo.first),
        "to": str(todo.last),
        "days": days,
        "operations": len(days),
    }
    head = f"{dataset}: {todo.first} to {todo.last}, {len(days)} days to ask for"
    for note in todo.notes:
        say(note)
    show(record, "\n".join([f"{head}, {len(days)} operations", *days]), as_json=as_json)
