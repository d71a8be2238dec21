"""`make bench`, or `python -m bench [--quick] [SECTION ...]`."""

import sys
from importlib import import_module

import click

# Each module has a function `run(quick: bool)`, which prints what it finds.
SECTIONS = {
    "http": "bench.rates",
    "depth": "bench.depth",
    "products": "bench.products",
    "outages": "bench.outages",
    "events": "bench.events",
    "live": "bench.live",
    "ads": "bench.ads",
}


@click.command()
@click.argument("sections", nargs=-1, type=click.Choice(list(SECTIONS)))
@click.option("--quick", is_flag=True, help="A look in under a minute: short rounds, less data.")
def main(sections: tuple[str, ...], quick: bool) -> None:
    """Measure the service beside plain ones, and under faults, on servers started for it."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for name in sections or SECTIONS:
        click.secho(f"\n## {name}", bold=True)
        import_module(SECTIONS[name]).run(quick)


if __name__ == "__main__":
    main(prog_name="python -m bench")
