"""Migrated databases for the tests, and copies of them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from flask import Flask
from flask_migrate import upgrade
from psycopg2.errors import DeadlockDetected
from sqlalchemy import NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from app.config import Settings, database_url
from app.extensions import db
from app.factory import create_app
from app.services import services_of
from tests.servers import SECRET
from tests.waiting import wait_until

NUMBERS = count(1)
ATTEMPTS = 5
EMPTY_ALL_TABLES = """
DO $$ BEGIN
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ')
            || ' RESTART IDENTITY CASCADE'
        FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    );
END $$
"""


def migrate(url: str) -> None:
    """Upgrade the database at ``url`` to the newest migration."""
    app = create_app(Settings(database_url=database_url(url), secret_key=SECRET, testing=True))
    with app.app_context():
        upgrade()
    close(app)


def migrate_template(url: str) -> None:
    """Migrate a database that is to be copied: each copy then names its own event log."""
    migrate(url)
    engine = create_engine(database_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM event_head"))


def close(app: Flask) -> None:
    """Close the database connections of ``app``.

    Before, let its sequencer come to rest: later it might number the events of another test.
    """
    sequencer = services_of(app).sequencer
    # It rests when its thread has ended, or waits for the next commit.
    wait_until(lambda: not sequencer._is_running or sequencer._woken._cond._waiters)
    with app.app_context():
        db.engine.dispose()


@contextmanager
def copy_of(server_url: str, template: str) -> Iterator[str]:
    """Create a copy of the database ``template``; drop it when the block ends."""
    name = f"bookstall_{os.getpid()}_{next(NUMBERS)}"
    execute(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield with_database(server_url, name)
    finally:
        execute(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


def empty(url: str) -> None:
    """Empty all tables of a PostgreSQL database but for its migration, and restart all ids.

    Again after a deadlock: a thread of an earlier test may connect again and number events.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            execute(url, EMPTY_ALL_TABLES)
            break
        except OperationalError as error:
            if not isinstance(error.orig, DeadlockDetected) or attempt == ATTEMPTS:
                raise


def with_database(url: str, name: str) -> str:
    """Return the URL of another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def execute(url: str, statement: str) -> None:
    """Run one statement on PostgreSQL, outside a transaction."""
    engine = create_engine(database_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
