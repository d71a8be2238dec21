"""`make day`, or `python -m clients.day`: a shop developer's day, with two services."""

import subprocess
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from clients.day.sites import Clone, Tree

CLIENT = "bookstall_client"
NO_HOOKS = "post_hooks: []\n"
"""The configuration of the generator: its hooks only format the code."""
GENERATE = (sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none")


@click.command()
@click.option("--here", is_flag=True, help="Serve this tree, instead of `make run` in a clone.")
def main(*, here: bool) -> None:
    """Run the day of clients/day/shop.py: against `make run` in a fresh clone of this repository.

    A client is generated from the OpenAPI document of the service, and everything is done by it.
    """
    with TemporaryDirectory(prefix="bookstall-day-") as name:
        folder = Path(name)
        site = Tree(folder) if here else Clone(folder)
        with site.serve("shop") as service, site.serve("copy") as copy:
            click.echo(f"generate a client from {service.address}/openapi.json")
            generate(service.address, folder)
            work(site, folder, (service.address, copy.address))
    click.echo("everything was as the document says")


def generate(address: str, folder: Path) -> None:
    """Generate the client, and make it importable."""
    (config := folder / "config.yaml").write_text(NO_HOOKS)
    options = ("--url", f"{address}/openapi.json", "--output-path", str(folder / CLIENT))
    subprocess.run([*GENERATE, *options, "--config", str(config)], check=True, cwd=folder)
    sys.path.insert(0, str(folder))


def work(site: Tree, folder: Path, addresses: Sequence[str]) -> None:
    """Run the day with a key for each service."""
    script = import_module("clients.day.shop")  # it imports the client
    shop, copy = (
        script.Shop(address, site.flask(name, "keys", "create", "developer", "--scope", "*"))
        for name, address in zip(("shop", "copy"), addresses, strict=True)
    )

    def load(name: str, file: Path) -> None:
        click.echo(site.flask("copy", name, "load", str(file), "--key", "id"))

    (exports := folder / "exports").mkdir()
    script.work(shop, copy, exports, load)


if __name__ == "__main__":
    main()
