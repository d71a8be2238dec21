"""The tables of products, of every change of their stock, and of holds on it."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import CODE_POINTS, Money, UtcDateTime, keyset_indexes, now
from app.extensions import Base

SKU_MAX = 40
# PostgreSQL cannot index a row of more than 2,704 bytes, and folding may turn one character into
# five bytes.
NAME_MAX = 400
REASON_MAX = 200
STOCK_MAX = 2**31 - 1
PRICE_MAX = Decimal("99999999.99")
HELD, COMMITTED, RELEASED = "held", "committed", "released"
IS_HELD = text(f"state = '{HELD}'")
"""A constant in the SQL: SQLite uses a partial index only if it sees the same condition."""


class Product(Base):
    """A product, with its stock in whole units."""

    __tablename__ = "product"
    __table_args__ = (
        CheckConstraint(f"stock_level BETWEEN 0 AND {STOCK_MAX}", name="stock_not_negative"),
        CheckConstraint(f"price BETWEEN 0 AND {int(PRICE_MAX * 100)}", name="price_in_bounds"),
        # Every list is one of archived products or one of the others.
        *keyset_indexes("ix_product_listed", "archived"),
        *keyset_indexes("ix_product_listed_name", "archived", "folded"),
        *keyset_indexes("ix_product_listed_price", "archived", "price"),
        Index(
            "ix_product_name_part",
            "folded",
            postgresql_using="gin",
            postgresql_ops={"folded": "gin_trgm_ops"},
            # Every search would have to scan the list of pending entries.
            postgresql_with={"fastupdate": "off"},
            info={"only": "postgresql"},  # SQLite uses the table product_part instead
        ),
        # A new version of a row on the same page needs no entries in the indexes, of which those
        # for parts of the name cost most: see migration 0015.
        {"postgresql_with": {"fillfactor": 50}},
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
    archived: Mapped[bool] = mapped_column(default=False, server_default=false())


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


class Hold(Base):
    """Units that are kept for somebody until the hold is committed or released, or expires.

    A hold is live while its state is HELD and ``expires_at`` is in the future, by the clock of
    the database. Nothing changes a row whose time has passed.
    """

    __tablename__ = "hold"
    __table_args__ = (
        CheckConstraint(f"quantity BETWEEN 1 AND {STOCK_MAX}", name="quantity_in_bounds"),
        CheckConstraint(f"state IN ('{HELD}', '{COMMITTED}', '{RELEASED}')", name="state_known"),
        # Serves the sum of the live holds of a product, however many have expired.
        Index(
            "ix_hold_live",
            "product_id",
            "expires_at",
            "quantity",
            postgresql_where=IS_HELD,
            sqlite_where=IS_HELD,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"))
    quantity: Mapped[int]
    reason: Mapped[str | None] = mapped_column(String(REASON_MAX))
    state: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
