"""Create the tables of books, reviews and the outbox.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "book",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(500), nullable=False),
        sa.Column("author", sa.String(1000), nullable=False),
        sa.Column("isbn", sa.String(13)),
        sa.Column("published_year", sa.Integer()),
        sa.Column("review_count", sa.Integer(), nullable=False),
        sa.Column("rating_sum", sa.Integer(), nullable=False),
        sa.Column(
            "average_rating",
            sa.Float(53),
            sa.Computed(
                "round(100.0 * rating_sum / nullif(review_count, 0)) / 100", persisted=True
            ),
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_id", sa.String(100)),
        sa.Column("folded", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "published_year BETWEEN -5000 AND 2100", name=op.f("ck_book_year_in_bounds")
        ),
        sa.CheckConstraint(
            "rating_sum BETWEEN review_count AND 5 * review_count",
            name=op.f("ck_book_ratings_add_up"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_book")),
        sa.UniqueConstraint("isbn", name=op.f("uq_book_isbn")),
        sa.UniqueConstraint("source_id", name=op.f("uq_book_source_id")),
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("book_id", sa.Integer(), nullable=False),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("reviewer", sa.String(100), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source_id", sa.String(100)),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name=op.f("ck_review_rating_in_bounds")),
        sa.ForeignKeyConstraint(["book_id"], ["book.id"], name=op.f("fk_review_book_id_book")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("source_id", name=op.f("uq_review_source_id")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index(op.f("ix_outbox_created_at"), "outbox", ["created_at"])


def downgrade() -> None:
    op.drop_table("outbox")
    op.drop_table("review")
    op.drop_table("book")
