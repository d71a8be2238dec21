"""Index the reviews of a book by age, without locking a large table on PostgreSQL.

Revision: 0002, after 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NAME = "ix_review_newest_of_book"
COLUMNS = ["book_id", "created_at", "id"]


def wait_for_locks() -> None:
    """Let the build wait for transactions that began before it; it blocks nobody meanwhile."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("SET lock_timeout = 0")


def upgrade() -> None:
    # CONCURRENTLY cannot run in a transaction. A build that was broken off leaves an invalid
    # index of this name behind: it is dropped first, so that the migration can be run again.
    with op.get_context().autocommit_block():
        wait_for_locks()
        op.drop_index(NAME, "review", if_exists=True, postgresql_concurrently=True)
        op.create_index(NAME, "review", COLUMNS, postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        wait_for_locks()
        op.drop_index(NAME, "review", postgresql_concurrently=True)
