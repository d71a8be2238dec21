"""The options that commands share, and the objects that are made from them."""

import re
import time
from collections.abc import Callable
from difflib import get_close_matches
from math import isnan
from pathlib import Path
from typing import Any, TypeVar

import click

from adsfetch.budget import Budget
from adsfetch.cli.days import Day
from adsfetch.cluster.client import Cluster
from adsfetch.dataset_run import Settings
from adsfetch.dates import parse_day, today_in, zone
from adsfetch.errors import UsageError
from adsfetch.fetch.retry import Retry

Command = TypeVar("Command", bound=Callable[..., Any])
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
CLUSTER = re.compile(r"dask://([^/\s]+:\d{1,5})")
NAME = re.compile(r"[^\s./\\][^/\\]*")
MAX_NAMES_SHOWN = 5


class Number(click.FloatRange):
    """A number in a range; NaN, which is in none, compares as if it were in all."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        number = super().convert(value, param, ctx)
        if isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


SECONDS = Number(0, 1_000_000, min_open=True)


def combine(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Return a decorator that adds several options to a command, in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


DATASET = click.option(
    "--dataset", help="Name of the folder in DIR; by default that of the source."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
QUIET = click.option(
    "--quiet", is_flag=True, help="Print only what is wrong, to standard error: for cron."
)
OUT = click.option("--out", type=FOLDER, required=True, metavar="DIR", help="Folder of the data.")
LOOKBACK = click.option(
    "--lookback",
    type=click.IntRange(0, 10_000),
    help="Days until the numbers of a day are final; by default as in the last run, at first 30.",
)
EARLIEST = click.option(
    "--earliest-days",
    type=click.IntRange(1, 10_000),
    help="Do not ask for days that are older than this; by default as in the last run.",
)
TODAY = click.option(
    "--today", type=Day(), help="Run as if today were this day, for tests and repairs."
)
LOCK = click.option(
    "--lock-wait",
    type=Number(0),
    default=600.0,
    help="Seconds to wait for another run on the same dataset.",
)

source_options = combine(
    click.option(
        "--source",
        metavar="MODULE:FUNCTION",
        help="Any function that takes a date and returns rows.",
    ),
    click.option(
        "--customer-id",
        multiple=True,
        help="Google Ads account: ten digits; repeat it for several accounts.",
    ),
    click.option("--customers", type=FILE, help="File with a customer id in each line."),
    click.option("--manager", help="Manager account: all enabled clients below it are fetched."),
    click.option("--login-customer-id", help="Manager account through which the access is given."),
    click.option(
        "--config", type=FILE, help="Path of google-ads.yaml; by default as in Google's library."
    ),
    click.option(
        "--query", type=FILE, help="File with GAQL without a date; by default campaigns by day."
    ),
    click.option("--api-version", help="Version of the API, such as v26; by default the newest."),
)
call_options = combine(
    click.option("--timeout", type=SECONDS, default=120.0, help="Seconds for one call."),
    click.option(
        "--attempts", type=click.IntRange(1), default=5, help="Number of attempts for one day."
    ),
    click.option(
        "--wait-initial",
        type=SECONDS,
        default=1.0,
        help="Longest wait before the first retry, in seconds; it doubles with each retry.",
    ),
    click.option(
        "--wait-max", type=SECONDS, default=60.0, help="Longest wait before any retry, in seconds."
    ),
)
run_options = combine(
    OUT,
    DATASET,
    click.option(
        "--workers", type=click.IntRange(1, 256), default=16, help="Number of concurrent calls."
    ),
    click.option(
        "--executor",
        default="threads",
        metavar="dask://HOST:PORT",
        help="Let the workers of a Dask cluster make the calls, not threads of this process.",
    ),
    call_options,
    LOOKBACK,
    EARLIEST,
    click.option("--time-zone", help="Time zone of the account, such as Europe/Berlin."),
    TODAY,
    LOCK,
    click.option(
        "--escape-formulas", is_flag=True, help="Prevent spreadsheets from evaluating cells."
    ),
    click.option(
        "--daily-operations",
        type=click.IntRange(1),
        help="Calls that all runs into DIR may make in 24 hours; by default as in the last run.",
    ),
    click.option("--dry-run", is_flag=True, help="Only list the days that would be fetched."),
    QUIET,
    click.option("--metrics-file", type=FILE, help="Write metrics for Prometheus to this file."),
    JSON,
)


def settings_of(options: dict[str, Any]) -> Settings:
    """Return the settings of the run; raise UsageError for an unknown time zone."""
    time_zone, today = options["time_zone"] or "", options["today"]
    now = today_in(zone(time_zone))  # raises for an unknown one, before anything is fetched
    day = parse_day(today, now) if today else None
    ahead = (day - now).total_seconds() if day else 0.0
    return Settings(
        workers=options["workers"],
        retry=Retry(options["attempts"], options["wait_initial"], options["wait_max"]),
        lookback=options["lookback"],
        earliest_days=options["earliest_days"],
        lock_wait=options["lock_wait"],
        time_zone=time_zone,
        today=day,
        escape_formulas=options["escape_formulas"],
        quiet=options["quiet"],
        refetch=options.get("refetch", False),
        cluster=cluster_of(options["executor"]),
        budget=budget_of(options["out"], options["daily_operations"], ahead),
    )


def budget_of(out: Path, limit: int | None, ahead: float) -> Budget:
    """Return the budget of all runs into a folder; its clock is ``ahead`` by so many seconds."""
    return Budget(out.absolute() / "operations.json", limit, lambda: time.time() + ahead)


def cluster_of(executor: str) -> Cluster | None:
    """Return the cluster of a run, None for threads; raise UsageError for anything else."""
    if executor == "threads":
        return None
    address = CLUSTER.fullmatch(executor)
    if not address:
        raise UsageError(f"--executor {executor!r} is neither threads nor dask://HOST:PORT")
    return Cluster(address[1])


def folder_of(out: Path, dataset: str | None, default: str = "") -> Path:
    """Return the folder of a dataset; raise UsageError for a name that points outside DIR."""
    name = dataset or default or only_dataset(out)
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a dataset")
    return out / name


def datasets_in(out: Path) -> list[str]:
    """Return the names of all datasets in a folder; raise UsageError if there is none."""
    found = sorted(path.parent.name for path in out.glob("*/days"))
    if not found:
        raise UsageError(f"{out} contains no datasets: fetch something first")
    return found


def only_dataset(out: Path) -> str:
    """Return the name of the only dataset; raise UsageError if there is none or several."""
    found = datasets_in(out)
    if len(found) == 1:
        return found[0]
    names = ", ".join(found[:MAX_NAMES_SHOWN])
    more = ", ...; status lists them" if len(found) > MAX_NAMES_SHOWN else ""
    raise UsageError(
        f"{out} contains {len(found)} datasets: choose one with --dataset: {names}{more}"
    )


def similar_to(folder: Path) -> str:
    """Return the datasets with a name like that of a missing one, as a question."""
    names = sorted(path.parent.name for path in folder.parent.glob("*/days"))
    begun = [name for name in names if name.startswith(folder.name)]
    found = begun or get_close_matches(folder.name, names)
    return f"; did you mean {' or '.join(found[:MAX_NAMES_SHOWN])}?" if found else ""
