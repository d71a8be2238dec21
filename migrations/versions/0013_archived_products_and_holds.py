"""Add archived products, with the indexes of their lists, and holds.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

KEYS = {"": [], "_name": ["folded"], "_price": ["price"]}
IS_HELD = sa.text("state = 'held'")


def on_postgres() -> bool:
    return op.get_context().dialect.name == "postgresql"


def upgrade() -> None:
    # On PostgreSQL the indexes are built outside of the transaction: an interrupted run has
    # added the column and the table already.
    archived = sa.Column("archived", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column("product", archived, if_not_exists=True if on_postgres() else None)
    op.create_table(
        "hold",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(200)),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "quantity BETWEEN 1 AND 2147483647", name=op.f("ck_hold_quantity_in_bounds")
        ),
        sa.CheckConstraint(
            "state IN ('held', 'committed', 'released')", name=op.f("ck_hold_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["product_id"], ["product.id"], name=op.f("fk_hold_product_id_product")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hold")),
        if_not_exists=True,
    )
    op.create_index(
        "ix_hold_live",
        "hold",
        ["product_id", "expires_at", "quantity"],
        postgresql_where=IS_HELD,
        sqlite_where=IS_HELD,
        if_not_exists=True,
    )
    for ending, keys in KEYS.items():
        replace_index("ix_product_listed" + ending, ["archived", *keys])
    for ending in ("_name", "_price"):
        drop_index("ix_product" + ending)


def downgrade() -> None:
    """Drop all holds, and list archived products again."""
    for ending in ("_name", "_price"):
        replace_index("ix_product" + ending, KEYS[ending])
    for ending in KEYS:
        drop_index("ix_product_listed" + ending)
    op.drop_table("hold", if_exists=True)
    op.drop_column("product", "archived", if_exists=True if on_postgres() else None)


def replace_index(name: str, keys: list[str]) -> None:
    """Build an index that ends with the id, which SQLite appends by itself."""
    if not on_postgres():
        op.create_index(f"{name}_rowid", "product", keys)
        return
    # An interrupted build leaves an invalid index: drop it first.
    drop_index(name)
    with op.get_context().autocommit_block():
        op.create_index(name, "product", [*keys, "id"], postgresql_concurrently=True)


def drop_index(name: str) -> None:
    if not on_postgres():
        op.drop_index(f"{name}_rowid", "product")
        return
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.drop_index(name, "product", if_exists=True, postgresql_concurrently=True)
