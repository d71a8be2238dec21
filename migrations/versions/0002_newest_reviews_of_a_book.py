"""Index the reviews of a book by time, without locking the table on PostgreSQL.

Revision: 0002, after 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"

NAME = "ix_review_newest_of_book"
COLUMNS = ["book_id", "created_at", "id"]
# SQLite appends the rowid to each entry, and can seek by it unless it is also a column.
SQLITE_NAME = "ix_review_newest_of_book_rowid"


def on_postgres() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def upgrade() -> None:
    if not on_postgres():
        op.create_index(SQLITE_NAME, "review", COLUMNS[:-1])
        return
    # CONCURRENTLY cannot run in a transaction. An interrupted build leaves an invalid index
    # with this name: drop it first, so that the migration can be run again.
    with op.get_context().autocommit_block():
        # The build waits for earlier transactions, without blocking other statements.
        op.execute("SET lock_timeout = 0")
        op.drop_index(NAME, "review", if_exists=True, postgresql_concurrently=True)
        op.create_index(NAME, "review", COLUMNS, postgresql_concurrently=True)


def downgrade() -> None:
    if not on_postgres():
        op.drop_index(SQLITE_NAME, "review")
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(NAME, "review", postgresql_concurrently=True)
