"""The tables of webhooks, and of what was delivered to them."""

from datetime import datetime

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, true
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import UtcDateTime, now
from app.events.models import LogFollower
from app.extensions import Base

URL_MAX = 2_000
DESCRIPTION_MAX = 200
REASON_MAX = 300
MESSAGE_ID_MAX = 60
TYPE_MAX = 40


class Webhook(LogFollower, Base):
    """A URL to which events are sent, and how far that has come.

    An operator or a client writes the upper columns, the deliverer the lower ones. Whatever
    begins the queue again, such as a replay, resets the failures.
    """

    __tablename__ = "webhook"
    # Ids are never reused: the deliverer knows its queues by them.
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    url: Mapped[str] = mapped_column(String(URL_MAX))
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_MAX))
    types: Mapped[list[str]] = mapped_column(JSON)
    """The types of the events that are sent; all if it is empty."""
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    """Encrypted: app/webhooks/secrets.py."""
    old_secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The one before; it signs too until ``old_secret_until``."""
    old_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    """Rises with each change by a client, also a replay. The deliverer leaves it alone, and begins
    a queue again when it has risen."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    disabled_reason: Mapped[str | None] = mapped_column(String(REASON_MAX))
    failed_attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    """How often the event that is sent now has failed."""
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    test_id: Mapped[str | None] = mapped_column(String(MESSAGE_ID_MAX))
    """The id of a test event that is to be sent; the deliverer sets it to None after that."""
    succeeded: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    failed: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """How many requests have succeeded and failed so far, for the metrics."""


class WebhookDelivery(Base):
    """One attempt to send an event, with what came of it. Kept as long as events are."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        Index("ix_webhook_delivery_of_webhook", "webhook_id", "id"),
        Index("ix_webhook_delivery_by_time", "at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhook.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(String(MESSAGE_ID_MAX))
    """The ``webhook-id`` that was sent: the cursor of the event, or the id of a test."""
    type: Mapped[str] = mapped_column(String(TYPE_MAX))
    attempt: Mapped[int]
    """1 for the first one of this event."""
    status: Mapped[int | None]
    """Of the HTTP response; None if none came."""
    error: Mapped[str | None] = mapped_column(String(REASON_MAX))
    duration_ms: Mapped[int]
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
