"""``python -m stress.days [--seconds N] [--seed N] [--broken FAULT]``."""

import random
import sys

import click

from stress.attributes import replace
from stress.days.broken import BROKEN
from stress.days.run import run_for


@click.command()
@click.option("--seconds", default=60, show_default=True, help="Duration.")
@click.option("--seed", type=int, help="Repeat the choices of a run.")
@click.option("--broken", type=click.Choice(list(BROKEN)), help="Plant a fault, to see it found.")
def main(seconds: int, seed: int | None, broken: str | None) -> None:
    """Do anything to datasets of adsfetch; exit 1 with the shortest sequence that breaks a rule."""
    chosen = random.randrange(2**32) if seed is None else seed
    click.secho(f"{seconds} s, seed {chosen}", bold=True)
    if broken:
        replace(*BROKEN[broken])
    try:
        sequences = run_for(seconds, chosen)
    except AssertionError as error:
        click.echo("\n".join([f"a rule is broken: {error}", *getattr(error, "__notes__", [])]))
        sys.exit(1)
    click.echo(f"{sequences} sequences, no rule broken")


if __name__ == "__main__":
    main(prog_name="python -m stress.days")
