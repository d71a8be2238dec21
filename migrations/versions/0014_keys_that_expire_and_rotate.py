"""Let API keys expire, and have older secrets that are valid for a while after a rotation.

Workers of the release before read none of the columns: until they are replaced, they accept a key
that has expired, and the newest secret of a key only.

Revision: 0014, after 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("api_key", sa.Column("expires_at", sa.DateTime(timezone=True)))
    rotations = sa.Column("rotations", sa.Integer(), nullable=False, server_default="0")
    op.add_column("api_key", rotations)
    op.add_column("api_key", sa.Column("old_secrets", sa.JSON()))


def downgrade() -> None:
    for name in ("old_secrets", "rotations", "expires_at"):
        op.drop_column("api_key", name)
