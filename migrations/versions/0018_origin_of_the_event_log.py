"""Note in which database the event log is, so that a copy of it is recognized.

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.add_column("event_head", sa.Column("origin", sa.String(40)))


def downgrade() -> None:
    op.drop_column("event_head", "origin")
