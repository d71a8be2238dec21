"""The command group ``ads``, and the program ``adsfetch``, which is the same group."""

import atexit
import gc
import sys
from io import TextIOWrapper

import click

from adsfetch.cli.aggregate import aggregate
from adsfetch.cli.changes import changes
from adsfetch.cli.export import export
from adsfetch.cli.fetch import backfill, fetch, update
from adsfetch.cli.inspect import forget, missing, status
from adsfetch.cli.output import AdsGroup
from adsfetch.cli.rename import rename
from adsfetch.cli.verify import verify

VERSION = click.version_option(package_name="bookstall", message="adsfetch %(version)s")


@click.group(
    cls=AdsGroup,
    context_settings={"show_default": True, "help_option_names": ["-h", "--help"]},
)
@VERSION
def ads() -> None:
    """Fetch Google Ads reports day by day, completely and without duplicates.

    Exit codes: 0 complete, 1 some days failed or another run is busy, 2 wrong usage,
    3 authorisation, 4 quota, 130 interrupted. What was fetched is stored: run the same command
    again to continue.
    """


for command in (
    fetch,
    backfill,
    update,
    missing,
    status,
    verify,
    changes,
    aggregate,
    export,
    forget,
    rename,
):
    ads.add_command(VERSION(command))


def main() -> None:
    """Run the group as a program."""
    # Rows are many objects without cycles. Only the program, which has the process for itself,
    # makes collections rarer; it saves a sixth of the time of a fetch.
    gc.set_threshold(10_000)
    # At its end Python would look for cycles among the thousands of classes of the client library.
    atexit.register(gc.freeze)
    if isinstance(sys.stdout, TextIOWrapper):  # a name may have letters that a terminal has not
        sys.stdout.reconfigure(errors="backslashreplace")
    ads(prog_name="adsfetch")
