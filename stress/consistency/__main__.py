"""`make consistency`, or `python -m stress.consistency [--seconds N] [--seed N]`."""

import random
import sys

import click

from stress.broken import BROKEN_CACHE
from stress.broken_rules import BROKEN_RULES
from stress.consistency.run import DATABASES, SERVERS, check_consistency


@click.command()
@click.option("--seconds", default=300.0, show_default=True, help="Duration of the faults.")
@click.option("--seed", type=int, help="Repeat the choices of faults and requests of a run.")
@click.option(
    "--server", type=click.Choice(list(SERVERS)), default="asgi", show_default=True, help="Worker."
)
@click.option(
    "--database",
    type=click.Choice(DATABASES),
    default=DATABASES[0],
    show_default=True,
    help="PostgreSQL with Redis, or SQLite without.",
)
@click.option("--workers", default=2, show_default=True, help="Workers of the service.")
@click.option(
    "--broken",
    type=click.Choice([*BROKEN_CACHE, *BROKEN_RULES]),
    help="Break the service on purpose.",
)
@click.option("--only", multiple=True, metavar="FAULT", help="Inject this fault, not all.")
@click.option("--pause", type=float, help="Seconds between two faults of Redis.")
@click.option("--watch", is_flag=True, help="Print what clients see in each second.")
@click.option("--replica", is_flag=True, help="Read misses from a replica, which fails at times.")
@click.option("--self-check", is_flag=True, help="Let the service compare each hit, not 0.1 %.")
def main(
    *,
    seconds: float,
    seed: int | None,
    server: str,
    database: str,
    workers: int,
    broken: str | None,
    only: tuple[str, ...],
    pause: float | None,
    watch: bool,
    self_check: bool,
    replica: bool,
) -> None:
    """Check every response while Redis and workers fail; exit 1 if one was wrong."""
    if replica and database == "sqlite":
        raise click.UsageError("SQLite has no replica.")
    result = check_consistency(
        seconds=seconds,
        seed=random.randrange(2**32) if seed is None else seed,
        server=server,
        database=database,
        workers=workers,
        broken=broken,
        only=only,
        pause=pause,
        watch=watch,
        self_check=self_check,
        replica=replica,
    )
    sys.exit(0 if result.passed else 1)


if __name__ == "__main__":
    main(prog_name="python -m stress.consistency")
