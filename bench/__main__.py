"""`make bench`, or `python -m bench [--quick] [SECTION ...]`."""

import sys
from importlib import import_module

import click

# Each is a module of this package with a function `run(quick: bool)`, which prints its figures.
SECTIONS = (
    "http",
    "outages",
    "writer-crash",
    "live",
    "events",
    "webhooks",
    "ads",
    "ads-workers",
    "hit-rate",
    "memory",
    "sorting",
    "export",
    "bulk",
    "capacity",
)


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(SECTIONS))
@click.option("--quick", is_flag=True, help="Short rounds and less data, for a first impression.")
def main(sections: tuple[str, ...], quick: bool) -> None:
    """Measure the service on servers that are started for it."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for name in sections or SECTIONS:
        click.secho(f"\n## {name}", bold=True)
        import_module(f"bench.{name.replace('-', '_')}").run(quick)


if __name__ == "__main__":
    main(prog_name="python -m bench")
