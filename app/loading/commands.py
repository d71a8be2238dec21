"""The command `load FILE`, which loads a CSV file into a table and prints a summary."""

import errno
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import Any

import click
from flask.cli import with_appcontext

from app.api.fields import Price
from app.loading.cells import parse_text
from app.loading.columns import RowParser, describe_columns, map_columns
from app.loading.csv_files import CsvReader, Row, open_text
from app.loading.detection import check_format, find_encoding
from app.loading.files import Input, LoadError, one_line
from app.loading.loader import ID, Load, LoadReport, LoadSpec
from app.loading.rejects import CsvFormat, RejectsFile, count_added_columns

PARAMETERS = (
    click.Argument(["file"], type=click.Path()),
    click.Option(
        ["--map", "mappings"],
        multiple=True,
        metavar="FIELD=COLUMN",
        help="Read a field from a column with another name; FIELD= leaves the field out.",
    ),
    click.Option(["--encoding"], help="Encoding of the file.  [default: its mark, else utf-8]"),
    click.Option(
        ["--delimiter"],
        help="Character between the columns, or the word `tab`.  [default: ,]",
    ),
    click.Option(["--key"], metavar="FIELD", help="Field that identifies a row."),
    click.Option(
        ["--columns"], metavar="A,B,C", help="Names of the columns, if the file has no header line."
    ),
    click.Option(
        ["--rejects"],
        type=click.Path(),
        help="File for rejected rows.  [default: FILE.rejects.csv]",
    ),
)

DECIMAL_COMMA = click.Option(
    ["--decimal-comma"], is_flag=True, help="All amounts have a decimal comma, as in 31,38."
)


def load_command(spec: LoadSpec, text: str) -> click.Command:
    """Make the command for ``spec``, with ``text`` as its help."""

    def load(file: str | os.PathLike[str], **options: Any) -> None:
        try:
            finish(load_file(spec, os.fspath(file), **options))
        except LoadError as error:
            raise _exit(2, str(error)) from None
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise  # click ends the command without a message, as nobody reads it
            # What is left in the buffer would fail again, with a traceback, when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise _exit(1, f"Cannot write the counts: {error.strerror}.") from None

    has_amounts = any(isinstance(field, Price) for field in spec.schema().fields.values())
    keys = ", ".join(spec.keys)
    default = "the default" if len(spec.keys) == 1 else "the default is the first that the file has"
    return click.Command(
        "load",
        callback=with_appcontext(load),
        params=[*PARAMETERS, DECIMAL_COMMA] if has_amounts else [*PARAMETERS],
        help=f"{text}\nKeys: {keys} ({default}), id for an export.",
    )


def _exit(status: int, message: str) -> click.exceptions.Exit:
    click.echo(f"Error: {message}", err=True)
    return click.exceptions.Exit(status)


def finish(report: LoadReport) -> None:
    """Print the counts to standard output and everything else to standard error, and exit.

    The status is 130 if interrupted, 1 if rows were rejected or the database was lost, else 0.
    """
    click.echo(report)
    if report.counts["rejected"]:
        click.echo(f"Rejected rows, with reasons: {one_line(report.rejects_path)}", err=True)
    if report.hint:
        click.echo(report.hint, err=True)
    if report.failure:
        click.echo(f"Error: Stopped after line {report.line}: {report.failure}", err=True)
    if report.interrupted:
        click.echo(f"Interrupted after line {report.line}. Run it again for the rest.", err=True)
        raise click.exceptions.Exit(130)
    if report.failure or report.counts["rejected"]:
        raise click.exceptions.Exit(1)


def load_file(
    spec: LoadSpec,
    path: str,
    *,
    mappings: Sequence[str],
    encoding: str | None,
    delimiter: str | None,
    key: str | None,
    columns: str | None,
    rejects: str | os.PathLike[str] | None,
    decimal_comma: bool = False,
) -> LoadReport:
    """Load the file at ``path``; raise LoadError before anything is written."""
    requested = _check_delimiter(delimiter)
    schema = spec.exported() if key == ID else spec.schema()
    mapped = _parse_mappings(mappings)
    with ExitStack() as stack:
        source = stack.enter_context(Input(path))
        check_format(source)
        encoding = find_encoding(source, encoding)
        rows = CsvReader(stack.enter_context(open_text(source, encoding)), requested)
        describe = partial(describe_columns, schema.fields, mapped.values(), rows.delimiter)
        names, data = _read_columns(source.name, rows, columns, mapped.values(), describe)
        try:
            indexes = map_columns(list(schema.fields), names, mapped)
            spec.check(set(indexes))
            key = _choose_key(spec, key, indexes)
            parser = RowParser(schema, indexes, len(names), decimal_comma=decimal_comma)
        except LoadError as error:
            raise LoadError(f"{error} {describe(names)}") from None
        form = CsvFormat(encoding, rows.delimiter, rows.has_separator_line, names)
        output = RejectsFile(os.fspath(rejects or source.rejects_path), source, form)
        report = Load(spec, key, parser, output).run(source, data)
        report.hint = rows.encoding_hint
        return report


def _choose_key(spec: LoadSpec, requested: str | None, fields: Collection[str]) -> str:
    """Return the requested key, or else the first key that the file has."""
    keys = (*spec.keys, ID)
    if requested and requested not in keys:
        raise LoadError(f"--key {requested}: not a key; the keys are {', '.join(keys)}.")
    usable = [key for key in keys if key in fields or (key != ID and spec.generates_key)]
    if requested and requested not in usable:
        raise LoadError(f"--key {requested}: no column for it; name it: --map {requested}=COLUMN.")
    if not usable:
        raise LoadError(f"No column for a key; name one: --map {spec.keys[0]}=COLUMN.")
    return requested or usable[0]


def _check_delimiter(word: str | None) -> str | None:
    if word is None:
        return None
    delimiter = {"tab": "\t", "\\t": "\t"}.get(word, word)
    if len(delimiter) != 1 or delimiter in '"\r\n\0':
        raise LoadError(f"--delimiter {one_line(word)}: must be one character, or the word tab.")
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


def _read_columns(
    name: str,
    rows: CsvReader,
    columns: str | None,
    used: Collection[str],
    describe: Callable[[Sequence[str]], str],
) -> tuple[list[str], Iterator[Row]]:
    """Return the names of the columns, and the rows without columns that a load has added."""
    first = next(rows, None)
    if columns:
        names = [column.strip() for column in columns.split(",")]
        added = count_added_columns(first.cells, ()) if first else 0
        if first is None or not added or first.cells[added:] != names:
            return names, chain([first] if first else [], rows)
        return names, _without_first_cells(added, rows)
    if first is None:
        raise LoadError(f"{name} is empty: it has no header line.")
    if first.outcome:
        cause = rows.encoding_hint or describe(first.cells)
        raise LoadError(f"The first line of {name} does not name columns: {first.reason}. {cause}")
    names = [_column_name(cell) for cell in first.cells]
    added = count_added_columns(names, used)
    return names[added:], _without_first_cells(added, rows)


def _column_name(cell: str) -> str:
    try:
        return parse_text(cell)
    except ValueError:
        return cell.strip()


def _without_first_cells(count: int, rows: Iterator[Row]) -> Iterator[Row]:
    for row in rows:
        row.cells = row.cells[count:]
        yield row
