"""Create the table of stored responses to requests with an Idempotency-Key.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "first_answer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client", sa.String(80), nullable=False),
        sa.Column("key", sa.String(255), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("headers", sa.JSON()),
        sa.Column("body", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_first_answer")),
        sa.UniqueConstraint("client", "key", name=op.f("uq_first_answer_client_key")),
    )
    op.create_index(op.f("ix_first_answer_created_at"), "first_answer", ["created_at"])


def downgrade() -> None:
    op.drop_table("first_answer")
