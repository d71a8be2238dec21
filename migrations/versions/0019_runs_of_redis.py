"""Add the runs of Redis that the cache has used; the newest is the one that all processes use.

Workers of the older release do not ask for it. While they run, they are protected from an old
master as before, by the roles that the servers of Redis say they have.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "cache_run",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.String(40), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cache_run")),
    )


def downgrade() -> None:
    op.drop_table("cache_run")
