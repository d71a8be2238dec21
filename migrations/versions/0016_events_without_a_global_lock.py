"""Let writers insert events without a position, which no other writer has to wait for.

The new columns have defaults, and the names of the old ones stay: a worker of the older release
goes on to write its reviews with a position. It locks the head for that, as the new one does when
it gives positions.

Revision: 0016, after 0015
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
TOLERATED = {
    "adds uq_event_position to event": "Older workers took positions from the same head before.",
    "indexes event without CONCURRENTLY": "The table is new, and has the events of a few days.",
    "rewrites event": "A new table has its name and columns, with the events of a few days.",
}


def upgrade() -> None:
    if op.get_context().dialect.name == "postgresql":
        op.execute("LOCK TABLE event IN ACCESS EXCLUSIVE MODE")
        op.execute("ALTER INDEX pk_event RENAME TO pk_older_event")
    op.rename_table("event", "older_event")
    op.create_table(
        "event",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            nullable=False,
        ),
        sa.Column("position", sa.BigInteger()),
        sa.Column("type", sa.String(20), server_default="review.created", nullable=False),
        sa.Column("topic", sa.String(60), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("context", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    numbered, others = (sa.text(f"position IS {kind}") for kind in ("NOT NULL", "NULL"))
    op.create_index(
        "uq_event_position",
        "event",
        ["position"],
        unique=True,
        postgresql_where=numbered,
        sqlite_where=numbered,
    )
    op.create_index(
        "ix_event_without_position",
        "event",
        ["id"],
        postgresql_where=others,
        sqlite_where=others,
    )
    op.execute(
        "INSERT INTO event (position, topic, payload, created_at) "
        "SELECT position, topic, payload, created_at FROM older_event ORDER BY position"
    )
    op.drop_table("older_event")


def downgrade() -> None:
    """Begin a new log: the older release knows events of one type only, without gaps."""
    op.drop_table("event")
    op.create_table(
        "event",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("topic", sa.String(60), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_event")),
    )
    op.create_index(op.f("ix_event_topic_position"), "event", ["topic", "position"])
    new_log = sa.text("UPDATE event_head SET log = :log, position = 0")
    op.execute(new_log.bindparams(log=secrets.token_hex(8)))
