"""`flask prepare`, what `make run` needs before it serves; errors of all commands."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade
from sqlalchemy import inspect, make_url
from sqlalchemy.exc import SQLAlchemyError

from app.config import INSTANCE, default_database_url
from app.db.errors import describe, is_unavailable
from app.extensions import db
from app.services import current_services

SAMPLE = Path(__file__).resolve().parents[2] / "sample"


class SampleFile(NamedTuple):
    """A CSV file in sample/, and the command that loads it by ``key``."""

    name: str
    load: click.Command
    key: str


def prepare_command(samples: Sequence[SampleFile]) -> click.Command:
    """Make the command; ``samples`` are loaded in this order."""

    @click.command()
    @with_appcontext
    def prepare() -> None:
        """Upgrade the database to the newest migration; load sample data into a new default one."""
        url = current_services().settings.database_url
        is_default = make_url(url) == make_url(default_database_url())
        pending = INSTANCE / "sample-not-loaded-yet"
        if is_default and not inspect(db.engine).has_table("alembic_version"):
            # The file outlives an interruption: the next start completes the load.
            pending.touch()
        upgrade()
        if is_default and pending.exists():
            for name, load, key in samples:
                click.echo(f"sample {name}: ", nl=False)
                file, rejects = SAMPLE / f"{name}.csv", INSTANCE / f"sample-{name}.rejects.csv"
                click.get_current_context().invoke(load, file=file, key=key, rejects=rejects)
            pending.unlink()

    return prepare


def report_unavailable_database(command: click.Command) -> None:
    """Let ``command`` end with one line, and 1, where the database is unavailable."""
    invoke = type(command).invoke

    def invoke_and_report(context: click.Context) -> Any:
        try:
            return invoke(command, context)
        except SQLAlchemyError as error:
            if is_unavailable(error):
                raise click.ClickException(describe(error)) from error
            raise

    command.invoke = invoke_and_report  # type: ignore[method-assign, assignment]
