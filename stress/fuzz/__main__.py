"""`make fuzz`, or `python -m stress.fuzz [--seconds N] [--seed N] [DATABASE ...]`."""

import random
import sys

import click

from stress.fuzz.run import DATABASES, fuzz, log_of


@click.command()
@click.argument("databases", nargs=-1, type=click.Choice(DATABASES))
@click.option("--seconds", default=60, show_default=True, help="Duration on each database.")
@click.option("--seed", type=int, help="Repeat the choices of a run.")
def main(databases: tuple[str, ...], seconds: int, seed: int | None) -> None:
    """Call all operations with all checks; exit 1 if a check failed."""
    chosen = random.randrange(2**32) if seed is None else seed
    codes = []
    for database in databases or DATABASES:
        click.secho(f"\n## {database}, {seconds} s, seed {chosen}", bold=True)
        done = fuzz(database, seconds=seconds, seed=chosen)
        click.echo(done.stdout)
        click.echo(f"exit code {done.returncode}; this output is in {log_of(database, chosen)}")
        codes.append(done.returncode)
    sys.exit(1 if any(codes) else 0)


if __name__ == "__main__":
    main(prog_name="python -m stress.fuzz")
