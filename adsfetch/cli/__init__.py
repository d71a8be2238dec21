"""The command group ``ads``, and ``adsfetch``, which is that group by itself."""

import click

from adsfetch.cli.fetch import backfill, fetch, update
from adsfetch.cli.inspect import aggregate, missing, status, verify
from adsfetch.cli.output import AdsGroup


@click.group(cls=AdsGroup)
def ads() -> None:
    """Fetch Google Ads reports day by day: complete, and never twice.

    Exit codes: 0 complete, 1 some days failed, 2 wrong usage, 3 authorisation, 4 quota,
    130 interrupted. What is done stays done: run the same command again.
    """


for command in (fetch, backfill, update, missing, status, verify, aggregate):
    ads.add_command(command)


def main() -> None:
    """Run the group as a program of its own."""
    ads(prog_name="adsfetch")
