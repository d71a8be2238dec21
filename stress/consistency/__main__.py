"""`make torture`, or `python -m stress.consistency [--seconds N] [--seed N]`."""

import random
import sys

import click

from stress.consistency.run import torture


@click.command()
@click.option("--seconds", default=300.0, show_default=True, help="How long the faults go on.")
@click.option("--seed", type=int, help="Choose faults and requests as a former run did.")
@click.option("--workers", default=2, show_default=True)
@click.option("--broken", type=click.Choice(["forget", "lease", "run-id"]), help="Break the cache.")
@click.option("--only", multiple=True, metavar="KIND", help="Make this kind of fault, not all.")
def main(
    seconds: float, seed: int | None, workers: int, broken: str | None, only: tuple[str, ...]
) -> None:
    """Judge every answer of a service whose Redis and workers fail; exit 1 if one was wrong."""
    verdict = torture(
        seconds=seconds,
        seed=random.randrange(2**32) if seed is None else seed,
        workers=workers,
        broken=broken,
        only=only,
    )
    sys.exit(0 if verdict.passed else 1)


if __name__ == "__main__":
    main(prog_name="python -m stress.consistency")
