"""`flask changes new-log`: what an operator does after a restore."""

import click
from flask.cli import AppGroup

from app.db.engine import autocommit_engine
from app.events.new_log import begin_new_log

changes = AppGroup("changes", help="Manage the change feed.")


@changes.command("new-log")
def new_log() -> None:
    """Begin a new log, so that all cursors of the old one are refused.

    Run it after the database was restored from a backup, or copied: positions that were given
    after the backup will be given to other events. Webhooks go on at their places.
    """
    click.echo(f"The change feed has a new log: {begin_new_log(autocommit_engine())}")
