"""Create the tables of products and of stock adjustments.

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "product",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sku", sa.String(40), nullable=False),
        sa.Column("name", sa.String(400), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("stock_level", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "folded",
            sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "stock_level BETWEEN 0 AND 2147483647", name=op.f("ck_product_stock_not_negative")
        ),
        sa.CheckConstraint(
            "price BETWEEN 0 AND 9999999999", name=op.f("ck_product_price_in_bounds")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_product")),
        sa.UniqueConstraint("sku", name=op.f("uq_product_sku")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_product_name", "product", ["folded", "id"])
        op.create_index("ix_product_price", "product", ["price", "id"])
    else:
        op.create_index("ix_product_name_rowid", "product", ["folded"])
        op.create_index("ix_product_price_rowid", "product", ["price"])
    op.create_table(
        "stock_adjustment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("delta", sa.Integer(), nullable=False),
        sa.Column("stock_level", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(200)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("delta <> 0", name=op.f("ck_stock_adjustment_delta_not_zero")),
        sa.ForeignKeyConstraint(
            ["product_id"], ["product.id"], name=op.f("fk_stock_adjustment_product_id_product")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stock_adjustment")),
    )
    op.create_index("ix_stock_adjustment_of_product", "stock_adjustment", ["product_id", "id"])


def downgrade() -> None:
    op.drop_table("stock_adjustment")
    op.drop_table("product")
