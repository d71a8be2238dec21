"""Run the migrations on the database of the application."""

import logging
import time

from alembic import context
from alembic.util import CommandError
from flask import current_app
from sqlalchemy.exc import OperationalError

from app.db.timeouts import remove_wait_timeout

db = current_app.extensions["migrate"].db
IS_SQLITE = db.engine.dialect.name == "sqlite"
LOCK_TIMEOUT = "1s"
"""On PostgreSQL every request for a table waits behind a migration that waits for its lock."""
LOCK_ATTEMPTS = 30
LOCK_PAUSE_SECONDS = 1.0
LOCK_NOT_AVAILABLE = "55P03"
log = logging.getLogger("alembic.env")


def belongs_to_database(item, name, kind, reflected, _) -> bool:
    """Exclude objects of the other database, and the tables of SQLite's full-text index."""
    if kind == "table" and reflected and name.startswith(("product_part", "book_part")):
        return False
    return item.info.get("only", db.engine.dialect.name) == db.engine.dialect.name


def number_revision(_, __, scripts) -> None:
    """Give a new migration the next number; refuse one without a name or, generated, a change."""
    script = scripts[0]
    generated = getattr(context.config.cmd_opts, "autogenerate", False)
    if generated and script.upgrade_ops.is_empty():
        raise CommandError("The models and the database agree: there is nothing to migrate.")
    # `flask db check` comes here too, without a message.
    if not (script.message or "").strip() and (generated or script.message is not None):
        raise CommandError('Name the migration: make revision m="add a column".')
    newest = max(int(known.revision) for known in context.script.walk_revisions())
    script.rev_id = f"{newest + 1:04}"


def run_offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(url=db.engine.url, target_metadata=db.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the migrations, each in its own transaction."""
    remove_wait_timeout()
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            run_once()
        except OperationalError as error:
            is_locked = getattr(error.orig, "pgcode", None) == LOCK_NOT_AVAILABLE
            if not is_locked or attempt == LOCK_ATTEMPTS:
                raise
            log.warning("a table is in use: trying again (%d of %d)", attempt, LOCK_ATTEMPTS - 1)
            time.sleep(LOCK_PAUSE_SECONDS)
        else:
            return


def run_once() -> None:
    """Run the migrations that the database lacks, until one of them cannot lock a table."""
    with db.engine.connect() as connection:
        if not IS_SQLITE:
            # Building an index may take longer than the limit for requests.
            connection.exec_driver_sql("SET statement_timeout = 0")
            limit_locks(connection)
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            transaction_per_migration=True,
            # SQLite changes a table by copying it.
            render_as_batch=IS_SQLITE,
            include_object=belongs_to_database,
            compare_server_default=True,
            process_revision_directives=number_revision,
            # A migration that waits without a limit, as for an index, does not pass that on.
            on_version_apply=None if IS_SQLITE else lambda ctx, **_: limit_locks(ctx.connection),
        )
        with context.begin_transaction():
            context.run_migrations()


def limit_locks(connection) -> None:
    """Let this connection give up soon when another one holds a table."""
    connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")


if context.is_offline_mode():
    run_offline()
else:
    run_online()
