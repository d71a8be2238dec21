"""`make storm`, or `python -m stress.subscriptions [--reviews N] [--seed N]`."""

import random
import sys

import click

from stress.subscriptions.run import storm


@click.command()
@click.option("--reviews", default=500, show_default=True, help="So many are acknowledged.")
@click.option("--seconds", default=60.0, show_default=True, help="About so long that takes.")
@click.option("--seed", type=int, help="Choose faults, drops and writes as a former run did.")
@click.option("--subscribers", default=48, show_default=True)
@click.option("--workers", default=2, show_default=True, help="For subscribers; one more for REST.")
@click.option("--redis/--no-redis", default=True, show_default=True)
@click.option("--sqlite", is_flag=True, help="On SQLite, not on PostgreSQL.")
@click.option(
    "--broken",
    type=click.Choice(["after", "repeat", "swap"]),
    help="Break the server, to see the judge.",
)
@click.option("--forgetful", is_flag=True, help="Let the subscribers not resume, for the same.")
def main(seed: int | None, **how: object) -> None:
    """Judge what subscribers see of a service whose workers and Redis fail; exit 1 if wrong."""
    verdict = storm(seed=random.randrange(2**32) if seed is None else seed, **how)
    sys.exit(0 if verdict.passed else 1)


if __name__ == "__main__":
    main(prog_name="python -m stress.subscriptions")
