"""The command `load FILE` of any group: words in, a load, a summary out."""

from collections.abc import Collection, Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from app.api.fields import Price
from app.loading.columns import Cells, name_columns
from app.loading.csv_files import LoadError, Row, holds_bytes, open_text, read_rows
from app.loading.loader import Load, Report, Target
from app.loading.rejects import Rejects

INTERRUPTED = 130
OPTIONS = (
    click.argument("file", type=click.Path(path_type=Path)),
    click.option(
        "--map",
        "mapped",
        multiple=True,
        metavar="FIELD=COLUMN",
        help="Take a field from a column of another name; FIELD= leaves the field out.",
    ),
    click.option("--encoding", default="utf-8", show_default=True, help="Encoding of the file."),
    click.option(
        "--delimiter",
        default=",",
        show_default=True,
        help="What separates the columns; `tab` is a word for a tab.",
    ),
    click.option("--key", metavar="FIELD", help="The field by which a row finds its equal."),
    click.option(
        "--columns", metavar="A,B,C", help="Names of the columns, for a file without a header line."
    ),
    click.option(
        "--rejects",
        type=click.Path(path_type=Path),
        help="Where rejected rows go.  [default: FILE.rejects.csv]",
    ),
)

DECIMAL_COMMA = click.option(
    "--decimal-comma", is_flag=True, help="Amounts are written 31,38; none has a point then."
)


def load_command(target: Target, text: str) -> click.Command:
    """Make the command; ``text`` is its help."""

    def load(file: Path, rejects: Path | None, **words: Any) -> None:
        rejects = rejects or file.with_name(f"{file.name}.rejects.csv")
        finish(load_file(target, file, rejects, **words), rejects)

    command = with_appcontext(load)
    has_amounts = any(isinstance(field, Price) for field in target.schema().fields.values())
    for option in reversed((*OPTIONS, DECIMAL_COMMA) if has_amounts else OPTIONS):
        command = option(command)
    keys = ", ".join(target.keys)
    return click.command(
        "load", help=f"{cleandoc(text)}\n\nKeys: {keys}; the first that the file has."
    )(command)


def finish(report: Report, rejects: Path) -> None:
    """Say what was done; leave with 1 if a row was rejected, with 130 if interrupted."""
    click.echo(report)
    if report.counts["rejected"]:
        click.echo(f"Rejected rows, with reasons: {rejects}", err=True)
    if report.away:
        click.echo(f"Error: Stopped after line {report.line}: {report.away}", err=True)
    if report.interrupted:
        click.echo(f"Interrupted after line {report.line}. Run it again for the rest.", err=True)
        raise click.exceptions.Exit(INTERRUPTED)
    if report.away or report.counts["rejected"]:
        raise click.exceptions.Exit(1)


def load_file(
    target: Target,
    path: Path,
    rejects: Path,
    *,
    mapped: Sequence[str] = (),
    encoding: str = "utf-8",
    delimiter: str = ",",
    key: str | None = None,
    columns: str | None = None,
    decimal_comma: bool = False,
) -> Report:
    """Load the file at ``path``; raise LoadError before anything is written."""
    delimiter = _separator(delimiter)
    schema = target.schema()
    with open_text(path, _encoding(encoding)) as file:
        rows = read_rows(file, delimiter)
        names = _split(columns) if columns else _header(path, rows)
        places = name_columns(list(schema.fields), names, _pairs(mapped))
        target.check(set(places))
        load = Load(
            target,
            _key(target, key, places),
            Cells(schema, places, len(names), decimal_comma=decimal_comma),
            Rejects(rejects, encoding, delimiter, names),
        )
        return load.run(file, rows, path.stat().st_size)


def _key(target: Target, asked: str | None, fields: Collection[str]) -> str:
    """Choose the key: the one asked for, else the first that the file has."""
    if asked and asked not in target.keys:
        raise LoadError(f"--key {asked}: not a key; there are {', '.join(target.keys)}.")
    usable = [key for key in target.keys if key in fields or target.makes_key]
    if asked and asked not in usable:
        raise LoadError(f"--key {asked}: no column for it; name it: --map {asked}=COLUMN.")
    if not usable:
        raise LoadError(f"No column for a key; name one: --map {target.keys[0]}=COLUMN.")
    return asked or usable[0]


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise LoadError(f"--encoding {name}: no such encoding.") from None
    return name


def _separator(word: str) -> str:
    separator = {"tab": "\t", "\\t": "\t"}.get(word, word)
    if len(separator) != 1 or separator in '"\r\n\0':
        raise LoadError(f"--delimiter {word}: must be one character, or the word tab.")
    return separator


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, equals, column = (part.strip() for part in word.partition("="))
        if not equals or not name:
            raise LoadError(f"--map {word}: must be FIELD=COLUMN.")
        if name in pairs:
            raise LoadError(f"--map {word}: {name} has a column already.")
        pairs[name] = column
    return pairs


def _split(columns: str) -> list[str]:
    return [name.strip() for name in columns.split(",")]


def _header(path: Path, rows: Iterator[Row]) -> list[str]:
    first = next(rows, None)
    if first is None:
        raise LoadError(f"{path} is empty: it has no line with the names of its columns.")
    if first.outcome or any(map(holds_bytes, first.cells)):
        raise LoadError(f"The first line of {path} does not name columns: {first.reason}.")
    return [name.strip() for name in first.cells]
