"""What the commands print, and the exit codes of errors."""

import json
import sys
from typing import Any

import click

from adsfetch.errors import AdsError, FatalError
from adsfetch.summary import INTERRUPTED


class AdsGroup(click.Group):
    """A group that turns errors into a message and an exit code, also as part of another group."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; 3 means authorisation, 4 quota, 130 interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted; what was fetched is stored", err=True)
            sys.exit(INTERRUPTED)
        except AdsError as error:
            code = error.exit_code if isinstance(error, FatalError) else 1
            click.echo(f"Error: {error}", err=True)
            sys.exit(code)


def examples(*lines: str) -> str:
    """Return the end of a help text, which click does not wrap."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def print_result(record: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print the result of a command to standard output, as JSON or as text."""
    click.echo(json.dumps(record, indent=2, ensure_ascii=False) if as_json else text)


def print_note(note: str) -> None:
    """Print a note to standard error, apart from the result."""
    click.echo(note, err=True)
