"""The command `load FILE`, which loads a CSV file into a table and prints a summary."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from app.api.fields import Price
from app.loading.columns import RowParser, map_columns
from app.loading.csv_files import (
    LoadError,
    RejectsFile,
    Row,
    has_undecodable_bytes,
    open_text,
    read_rows,
)
from app.loading.loader import Load, LoadReport, LoadSpec

PARAMETERS = (
    click.Argument(["file"], type=click.Path(path_type=Path)),
    click.Option(
        ["--map", "mappings"],
        multiple=True,
        metavar="FIELD=COLUMN",
        help="Read a field from a column with another name; FIELD= leaves the field out.",
    ),
    click.Option(["--encoding"], default="utf-8", show_default=True, help="Encoding of the file."),
    click.Option(
        ["--delimiter"],
        default=",",
        show_default=True,
        help="Character between the columns, or the word `tab`.",
    ),
    click.Option(["--key"], metavar="FIELD", help="Field that identifies a row."),
    click.Option(
        ["--columns"], metavar="A,B,C", help="Names of the columns, if the file has no header line."
    ),
    click.Option(
        ["--rejects"],
        type=click.Path(path_type=Path),
        help="File for rejected rows.  [default: FILE.rejects.csv]",
    ),
)

DECIMAL_COMMA = click.Option(
    ["--decimal-comma"], is_flag=True, help="All amounts have a decimal comma, as in 31,38."
)


def load_command(spec: LoadSpec, text: str) -> click.Command:
    """Make the command for ``spec``, with ``text`` as its help."""

    def load(file: Path, rejects: Path | None, **options: Any) -> None:
        rejects = rejects or file.with_name(f"{file.name}.rejects.csv")
        try:
            report = load_file(spec, file, rejects, **options)
        except LoadError as error:
            click.echo(f"Error: {error}", err=True)
            raise click.exceptions.Exit(2) from None
        finish(report, rejects)

    has_amounts = any(isinstance(field, Price) for field in spec.schema().fields.values())
    keys = ", ".join(spec.keys)
    default = "the default" if len(spec.keys) == 1 else "the default is the first that the file has"
    return click.Command(
        "load",
        callback=with_appcontext(load),
        params=[*PARAMETERS, DECIMAL_COMMA] if has_amounts else [*PARAMETERS],
        help=f"{text}\nKeys: {keys} ({default}).",
    )


def finish(report: LoadReport, rejects: Path) -> None:
    """Print the counts to standard output and everything else to standard error, and exit.

    The status is 130 if interrupted, 1 if rows were rejected or the database was lost, else 0.
    """
    click.echo(report)
    if report.counts["rejected"]:
        click.echo(f"Rejected rows, with reasons: {rejects}", err=True)
    if report.failure:
        click.echo(f"Error: Stopped after line {report.line}: {report.failure}", err=True)
    if report.interrupted:
        click.echo(f"Interrupted after line {report.line}. Run it again for the rest.", err=True)
        raise click.exceptions.Exit(130)
    if report.failure or report.counts["rejected"]:
        raise click.exceptions.Exit(1)


def load_file(
    spec: LoadSpec,
    path: Path,
    rejects: Path,
    *,
    mappings: Sequence[str],
    encoding: str,
    delimiter: str,
    key: str | None,
    columns: str | None,
    decimal_comma: bool = False,
) -> LoadReport:
    """Load the file at ``path``; raise LoadError before anything is written."""
    delimiter = _check_delimiter(delimiter)
    schema = spec.schema()
    with open_text(path, encoding) as file:
        rows = read_rows(file, delimiter)
        header = columns.split(",") if columns else _read_header(path, rows)
        names = [name.strip() for name in header]
        indexes = map_columns(list(schema.fields), names, _parse_mappings(mappings))
        spec.check(set(indexes))
        load = Load(
            spec,
            _choose_key(spec, key, indexes),
            RowParser(schema, indexes, len(names), decimal_comma=decimal_comma),
            RejectsFile(rejects, encoding, delimiter, names),
        )
        return load.run(file, rows, path.stat().st_size)


def _choose_key(spec: LoadSpec, requested: str | None, fields: Collection[str]) -> str:
    """Return the requested key, or else the first key that the file has."""
    if requested and requested not in spec.keys:
        raise LoadError(f"--key {requested}: not a key; the keys are {', '.join(spec.keys)}.")
    usable = [key for key in spec.keys if key in fields or spec.generates_key]
    if requested and requested not in usable:
        raise LoadError(f"--key {requested}: no column for it; name it: --map {requested}=COLUMN.")
    if not usable:
        raise LoadError(f"No column for a key; name one: --map {spec.keys[0]}=COLUMN.")
    return requested or usable[0]


def _check_delimiter(word: str) -> str:
    delimiter = {"tab": "\t", "\\t": "\t"}.get(word, word)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise LoadError(f"--delimiter {word}: must be one character, or the word tab.")
    return delimiter


def _parse_mappings(mappings: Sequence[str]) -> dict[str, str]:
    parsed: dict[str, str] = {}
    for mapping in mappings:
        name, equals, column = (part.strip() for part in mapping.partition("="))
        if not equals or not name:
            raise LoadError(f"--map {mapping}: must be FIELD=COLUMN.")
        if name in parsed:
            raise LoadError(f"--map {mapping}: {name} has a column already.")
        parsed[name] = column
    return parsed


def _read_header(path: Path, rows: Iterator[Row]) -> list[str]:
    first = next(rows, None)
    if first is None:
        raise LoadError(f"{path} is empty: it has no header line.")
    if first.outcome or any(map(has_undecodable_bytes, first.cells)):
        raise LoadError(f"The first line of {path} does not name columns: {first.reason}.")
    return first.cells
