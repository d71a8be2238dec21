"""The tables of products and of every change of their stock."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import Money, UtcDateTime, now
from app.extensions import Base

SKU_MAX = 40
# PostgreSQL cannot index a row of more than 2,704 bytes, and folding may turn one character into
# five bytes.
NAME_MAX = 400
REASON_MAX = 200
STOCK_MAX = 2**31 - 1
PRICE_MAX = Decimal("99999999.99")
CODE_POINTS = Text().with_variant(Text(collation="C"), "postgresql")
"""Text sorted by code points, which is the same order on both databases."""


class Product(Base):
    """A product, with its stock in whole units."""

    __tablename__ = "product"
    __table_args__ = (
        CheckConstraint(f"stock_level BETWEEN 0 AND {STOCK_MAX}", name="stock_not_negative"),
        CheckConstraint(f"price BETWEEN 0 AND {int(PRICE_MAX * 100)}", name="price_in_bounds"),
        Index("ix_product_name", "folded", "id", info={"only": "postgresql"}),
        Index("ix_product_price", "price", "id", info={"only": "postgresql"}),
        # SQLite appends the rowid to each entry, and can seek by it unless it is also a column.
        Index("ix_product_name_rowid", "folded", info={"only": "sqlite"}),
        Index("ix_product_price_rowid", "price", info={"only": "sqlite"}),
        Index(
            "ix_product_name_part",
            "folded",
            postgresql_using="gin",
            postgresql_ops={"folded": "gin_trgm_ops"},
            # Every search would have to scan the list of pending entries.
            postgresql_with={"fastupdate": "off"},
            info={"only": "postgresql"},  # SQLite uses the table product_part instead
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str] = mapped_column(String(SKU_MAX), unique=True)
    name: Mapped[str] = mapped_column(String(NAME_MAX))
    price: Mapped[Decimal] = mapped_column(Money)
    stock_level: Mapped[int] = mapped_column(default=0)
    version: Mapped[int] = mapped_column(default=1)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    # The name in the form for searches and sorting, which is the same on both databases.
    folded: Mapped[str] = mapped_column(CODE_POINTS)


class StockAdjustment(Base):
    """A change of stock. All changes of a product add up to its stock level."""

    __tablename__ = "stock_adjustment"
    __table_args__ = (
        CheckConstraint("delta <> 0", name="delta_not_zero"),
        Index("ix_stock_adjustment_of_product", "product_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    delta: Mapped[int]
    stock_level: Mapped[int]
    reason: Mapped[str | None] = mapped_column(String(REASON_MAX))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
