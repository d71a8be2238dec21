"""Loads of CSV files by the commands, as tests run them."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from click.testing import Result
from flask import Flask

HEAD = "title,author,isbn\n"
EMMA = "Emma,Jane Austen,9780141439587\n"
DRACULA = "Dracula,Bram Stoker,9780141439846\n"
ROOT = Path(__file__).parents[3]
SECRET = "a secret of the tests"
Load = Callable[..., Result]


def load_command(app: Flask, name: str, path: Path) -> Load:
    """Return a function that writes ``content`` to ``path``, unless None, and loads the file."""

    def load(content: str | bytes | None, *options: str) -> Result:
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return app.test_cli_runner().invoke(args=[name, "load", str(path), *options])

    return load


def rejects_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.rejects.csv")


def rejects(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[dict[str, str]]:
    """Return the rejected rows of the load of ``path``, with their lines and reasons."""
    with rejects_path(path).open(newline="", encoding=encoding) as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def reasons(path: Path, encoding: str = "utf-8", delimiter: str = ",") -> list[str]:
    return [row["reason"] for row in rejects(path, encoding, delimiter)]


def map_options(*mappings: str) -> Sequence[str]:
    return [option for mapping in mappings for option in ("--map", mapping)]
