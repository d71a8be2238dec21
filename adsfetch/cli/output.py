"""What the commands print, and the exit codes of errors."""

import errno
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

import click

from adsfetch.errors import AdsError, FatalError, StoreError, text_of
from adsfetch.summary import INTERRUPTED


class AdsGroup(click.Group):
    """A group that turns errors into a message and an exit code, also as part of another group."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; 3 means authorisation, 4 quota, 130 interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print_note("interrupted; what was fetched is stored")
            sys.exit(INTERRUPTED)
        except AdsError as error:
            print_note(f"Error: {text_of(error)}")
            sys.exit(exit_code_of(error))


def exit_code_of(error: BaseException) -> int:
    """Return the exit code that an error gives the command."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return error.exit_code if isinstance(error, FatalError) else 1


def examples(*lines: str) -> str:
    """Return the end of a help text, which click does not wrap."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def print_result(record: dict[str, Any], text: str, *, as_json: bool, quiet: bool = False) -> None:
    """Print the result of a command to standard output, as JSON, or as text unless ``quiet``.

    Raise StoreError if it cannot be written; click ends quietly where nobody reads it.
    """
    if quiet and not as_json:
        return
    try:
        click.echo(json_of(record) if as_json else text)
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise
        # What is left in the buffer would fail again, with a traceback, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise StoreError(f"cannot write to standard output: {error.strerror}") from error


class Part(Protocol):
    """One of the results of a command."""

    def as_json(self) -> dict[str, Any]: ...

    def as_text(self) -> str: ...


def print_parts(parts: Sequence[Part], name: str, gap: str, *, as_json: bool, quiet: bool) -> None:
    """Print results with a gap between them; as JSON a single one, or a list with this name."""
    records = [part.as_json() for part in parts]
    record = records[0] if len(records) == 1 else {name: records}
    text = gap.join(part.as_text() for part in parts)
    print_result(record, text, as_json=as_json, quiet=quiet)


def json_of(record: dict[str, Any]) -> str:
    """Return a record as JSON, with escapes where standard output cannot have every letter."""
    encoding = getattr(sys.stdout, "encoding", None) or ""
    return json.dumps(record, indent=2, ensure_ascii=not encoding.lower().startswith("utf"))


def print_note(note: str) -> None:
    """Print a note to standard error, apart from the result, if it can be written."""
    with suppress(OSError):
        click.echo(note, err=True)


def no_note(_note: str) -> None:
    """Print nothing: a note says what is worth knowing, but with --quiet only what is wrong is."""
