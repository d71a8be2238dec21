"""`make subscriptions`, or `python -m stress.subscriptions [--seconds N] [--seed N]`."""

import random
import sys
from typing import Any

import click

from stress.broken import BROKEN_SUBSCRIPTIONS
from stress.subscriptions.run import check_subscriptions

BROKEN = click.Choice(list(BROKEN_SUBSCRIPTIONS))


@click.command()
@click.option("--seconds", default=60.0, show_default=True, help="Approximate duration.")
@click.option("--seed", type=int, help="Repeat the choices of faults, drops and writes of a run.")
@click.option("--followers", default=48, show_default=True)
@click.option("--writers", default=8, show_default=True, help="Half of them write through WSGI.")
@click.option("--workers", default=2, show_default=True, help="asgi workers; one more for WSGI.")
@click.option("--redis/--no-redis", default=True, show_default=True)
@click.option("--sqlite", is_flag=True, help="Use SQLite instead of PostgreSQL.")
@click.option("--broken", type=BROKEN, help="Break the service on purpose.")
@click.option("--forgetful", is_flag=True, help="Break the followers: they do not resume.")
def main(seed: int | None, **options: Any) -> None:
    """Check what followers receive while all servers fail; exit 1 if it was wrong."""
    result = check_subscriptions(seed=random.randrange(2**32) if seed is None else seed, **options)
    sys.exit(0 if result.passed else 1)


if __name__ == "__main__":
    main(prog_name="python -m stress.subscriptions")
