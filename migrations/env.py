"""Runs the migrations on the database of the application."""

from alembic import context
from flask import current_app

from app.db.timeouts import wait_for_ever

config = context.config
db = current_app.extensions["migrate"].db
IS_SQLITE = db.engine.dialect.name == "sqlite"


def concerns_us(item, name, kind, reflected, _) -> bool:
    """Leave out what the other database has, and the tables of SQLite's full-text index."""
    if kind == "table" and reflected and name.startswith("product_part"):
        return False
    return item.info.get("only", db.engine.dialect.name) == db.engine.dialect.name


def run_offline() -> None:
    """Print the SQL instead of running it."""
    context.configure(url=db.engine.url, target_metadata=db.metadata, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Run the migrations, each in a transaction of its own."""
    wait_for_ever()
    with db.engine.connect() as connection:
        if not IS_SQLITE:
            # Building an index may take longer than any request may.
            connection.exec_driver_sql("SET statement_timeout = 0")
            connection.commit()
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            transaction_per_migration=True,
            # SQLite changes a table by making it anew.
            render_as_batch=IS_SQLITE,
            include_object=concerns_us,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
