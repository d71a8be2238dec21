"""How every command of the group ends: one clear sentence and a number, never a traceback."""

import json
import sys
from typing import Any

import click

from adsfetch.errors import AdsError, FatalError
from adsfetch.summary import INTERRUPTED


class AdsGroup(click.Group):
    """A group that turns our errors into exit codes, under whatever command it hangs."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; 3 means authorisation, 4 quota, 130 interrupted."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("interrupted; what is done stays done", err=True)
            sys.exit(INTERRUPTED)
        except AdsError as error:
            code = error.exit_code if isinstance(error, FatalError) else 1
            click.echo(f"Error: {error}", err=True)
            sys.exit(code)


def examples(*lines: str) -> str:
    """Return the end of a help text, with its lines left as they are."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {line}" for line in lines)])


def show(record: dict[str, Any], text: str, *, as_json: bool) -> None:
    """Print what a command found, for programs or for people."""
    click.echo(json.dumps(record, indent=2, ensure_ascii=False) if as_json else text)


def say(note: str) -> None:
    """Tell the user something beside the result."""
    click.echo(note, err=True)
