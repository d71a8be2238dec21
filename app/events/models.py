"""The tables of the event log."""

import secrets
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    String,
    Text,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import UtcDateTime, now, only_where
from app.extensions import Base

LOG_NAME_BYTES = 8
TYPES = (
    *(f"book.{change}" for change in ("created", "changed", "deleted")),
    *(f"review.{change}" for change in ("created", "changed", "deleted", "hidden", "shown")),
    *(f"product.{change}" for change in ("created", "changed", "archived", "restored")),
    "stock.changed",
    *(f"hold.{change}" for change in ("created", "committed", "released")),
)
"""What an event can be."""
MAX_TYPE_LENGTH, MAX_TOPIC_LENGTH = 20, 60


class EventHead(Base):
    """The name of the log and the position of its newest event: a single row."""

    __tablename__ = "event_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    log: Mapped[str] = mapped_column(String(2 * LOG_NAME_BYTES))
    position: Mapped[int] = mapped_column(BigInteger)
    origin: Mapped[str | None] = mapped_column(String(40))
    """The PostgreSQL database that the log is in, so that a copy is recognized; None: unknown."""


class StoredEvent(Base):
    """An event, stored for FEED_DAYS."""

    __tablename__ = "event"
    __table_args__ = (
        Index("uq_event_position", "position", unique=True, **only_where("position IS NOT NULL")),
        Index("ix_event_without_position", "id", **only_where("position IS NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    position: Mapped[int | None] = mapped_column(BigInteger)
    # The default is for writers of an older release, which know no other type.
    type: Mapped[str] = mapped_column(String(MAX_TYPE_LENGTH), server_default="review.created")
    topic: Mapped[str] = mapped_column(String(MAX_TOPIC_LENGTH))
    payload: Mapped[str] = mapped_column(Text)
    context: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class LogFollower:
    """The place of something in this database that follows the log; a new log keeps it."""

    __tablename__: str

    cursor_log: Mapped[str] = mapped_column(String(2 * LOG_NAME_BYTES))
    cursor_position: Mapped[int] = mapped_column(BigInteger)
    """What comes next is the first event after this that is wanted."""


def new_log_name() -> str:
    """Return a new name for a log."""
    return secrets.token_hex(LOG_NAME_BYTES)
