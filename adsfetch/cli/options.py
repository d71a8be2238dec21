"""The options that commands share, and what is made of them."""

import re
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import click

from adsfetch.dates import parse_day, today_in, zone
from adsfetch.errors import UsageError
from adsfetch.fetch.retry import Retry
from adsfetch.google import report
from adsfetch.google.source import Account, GoogleAds
from adsfetch.run import Settings
from adsfetch.sources import Function, Source

Command = TypeVar("Command", bound=Callable[..., Any])
SECONDS = click.FloatRange(min=0, min_open=True)
FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
CUSTOMER = re.compile(r"\d{3}-?\d{3}-?\d{4}", re.ASCII)
NAME = re.compile(r"[^\s./\\][^/\\]*")


class Day(click.ParamType[str]):
    """A day in any form that has one meaning; it stays text until the account's today is known."""

    name = "day"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Check the words now, so that a slip is told before anything happens."""
        try:
            parse_day(str(value), today_in(None))
        except UsageError as error:
            self.fail(str(error), param, ctx)
        return str(value)


def apply(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Put several options on a command, shown in this order."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


DATASET = click.option("--dataset", help="Folder in DIR; by default named after the source.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
OUT = click.option("--out", type=FOLDER, required=True, metavar="DIR", help="Where the data is.")
LOOKBACK = click.option(
    "--lookback",
    type=click.IntRange(0),
    default=30,
    show_default=True,
    help="Days that stay provisional, and are read again.",
)
TODAY = click.option("--today", type=Day(), help="Work as on this day; for tests and repairs.")
ZONE = click.option("--time-zone", default="", help="The account's, such as Europe/Berlin.")
LOCK = click.option(
    "--lock-wait",
    type=click.FloatRange(0),
    default=600.0,
    show_default=True,
    help="Seconds to wait for another run on the same dataset.",
)

source_options = apply(
    click.option("--source", metavar="MODULE:FUNCTION", help="Any function of a date."),
    click.option("--customer-id", help="Google Ads account, ten digits."),
    click.option("--login-customer-id", help="Manager account that has the access."),
    click.option("--config", type=FILE, help="google-ads.yaml; by default where Google looks."),
    click.option("--query", type=FILE, help="GAQL without a date; by default campaigns by day."),
    click.option("--api-version", help="Such as v26; by default the newest installed."),
)
run_options = apply(
    OUT,
    DATASET,
    click.option("--workers", type=click.IntRange(1, 256), default=16, show_default=True),
    click.option("--timeout", type=SECONDS, default=120.0, show_default=True, help="Of a call."),
    click.option("--attempts", type=click.IntRange(1), default=5, show_default=True),
    click.option("--wait-initial", type=SECONDS, default=1.0, show_default=True),
    click.option("--wait-max", type=SECONDS, default=60.0, show_default=True),
    LOOKBACK,
    ZONE,
    TODAY,
    LOCK,
    click.option("--escape-formulas", is_flag=True, help="No cell is computed by a spreadsheet."),
    click.option("--dry-run", is_flag=True, help="Only say which days would be asked for."),
    JSON,
)


def source_of(options: dict[str, Any]) -> Source:
    """Return the source that was named; raise UsageError for none, or two."""
    google = ("customer_id", "login_customer_id", "config", "query", "api_version")
    named = [f"--{name.replace('_', '-')}" for name in google if options[name]]
    if options["source"]:
        if named:
            raise UsageError(f"{named[0]} is for Google Ads, and --source names another source")
        return Function(options["source"], options["timeout"])
    if not options["customer_id"]:
        raise UsageError("name a source: --customer-id for Google Ads, or --source MODULE:FUNCTION")
    return GoogleAds(account_of(options), report.load(options["query"]), options["timeout"])


def account_of(options: dict[str, Any]) -> Account:
    """Return the account that was named."""
    login = options["login_customer_id"]
    return Account(
        digits(options["customer_id"]),
        digits(login) if login else None,
        options["config"],
        options["api_version"],
    )


def digits(customer_id: str) -> str:
    """Return a customer id as the API wants it, without hyphens."""
    if not CUSTOMER.fullmatch(customer_id):
        raise UsageError(f"{customer_id!r} is not a customer id: write ten digits, 123-456-7890")
    return customer_id.replace("-", "")


def settings_of(options: dict[str, Any]) -> Settings:
    """Return how the run is to go about it."""
    return Settings(
        workers=options["workers"],
        retry=Retry(options["attempts"], options["wait_initial"], options["wait_max"]),
        lookback=options["lookback"],
        lock_wait=options["lock_wait"],
        time_zone=options["time_zone"],
        today=today_of(options),
        escape_formulas=options["escape_formulas"],
    )


def today_of(options: dict[str, Any]) -> date | None:
    """Return the day that the user wants it to be."""
    if options.get("time_zone"):
        zone(options["time_zone"])
    return parse_day(options["today"], today_in(None)) if options["today"] else None


def folder_of(out: Path, dataset: str | None, default: str = "") -> Path:
    """Return the folder of a dataset; raise UsageError for a name that leads elsewhere."""
    name = dataset or default or only_dataset(out)
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of a dataset")
    return out / name


def only_dataset(out: Path) -> str:
    """Return the one dataset that is there; raise UsageError for none, or several."""
    found = sorted(path.parent.name for path in out.glob("*/days"))
    if len(found) == 1:
        return found[0]
    known = f"choose one with --dataset: {', '.join(found)}" if found else "fetch something first"
    raise UsageError(f"{out} holds {len(found) or 'no'} datasets: {known}")
