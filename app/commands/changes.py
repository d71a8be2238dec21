"""`flask changes new-log`: what an operator does after a restore."""

import click
from flask.cli import AppGroup

from app.db.engine import autocommit_engine
from app.events.sequencer import new_log

changes = AppGroup("changes", help="Manage the change feed.")


@changes.command("new-log")
def begin_new_log() -> None:
    """Begin a new log, so that all cursors of the old one are refused.

    Run it after the database was restored from a backup, or copied: positions that were given
    after the backup will be given to other events.
    """
    click.echo(f"The change feed has a new log: {new_log(autocommit_engine())}")
