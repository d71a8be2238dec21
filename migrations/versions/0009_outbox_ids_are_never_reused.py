"""Let SQLite never use an id of the outbox again: the change log of the cache counts on it.

Revision: 0009, after 0008
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    _recreate(autoincrement=True)


def downgrade() -> None:
    _recreate(autoincrement=False)


def _recreate(*, autoincrement: bool) -> None:
    # The sequences of PostgreSQL never go back.
    if op.get_context().dialect.name == "sqlite":
        arguments = {"sqlite_autoincrement": autoincrement}
        with op.batch_alter_table("outbox", recreate="always", table_kwargs=arguments):
            pass
