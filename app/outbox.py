"""What a commit must still tell others, kept in the transaction of the write itself.

A row stands for an invalidation that Redis may not have heard of. The writer deletes it once
Redis has; where the writer could not, or died, the next process that wants to use the cache
finds the row and delivers it first.
"""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from flask import current_app
from sqlalchemy import JSON, ColumnElement, Engine, delete, insert, select
from sqlalchemy.orm import Mapped, mapped_column

from app.config import CACHE_TTL_MAX
from app.database import UtcDateTime, now
from app.extensions import Base, db

BATCH = 500
PURGE_EVERY_SECONDS = 3_600.0
PURGE_AFTER = timedelta(seconds=2 * CACHE_TTL_MAX)
"""No entry lives so long: what is older has nothing left to invalidate."""


class Outbox(Base):
    """An invalidation that is not delivered yet."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[list[str]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


def put(tags: Sequence[str]) -> int:
    """Add a row to the transaction at hand and return its id."""
    statement = insert(Outbox).values(tags=sorted(set(tags))).returning(Outbox.id)
    return db.session.execute(statement).scalar_one()


def undelivered(engine: Engine) -> list[tuple[int, list[str]]]:
    """Return the oldest rows, at most BATCH of them."""
    statement = select(Outbox.id, Outbox.tags).order_by(Outbox.id).limit(BATCH)
    with engine.connect() as connection:
        return [(row.id, row.tags) for row in connection.execute(statement)]


def remove(engine: Engine, ids: Sequence[int]) -> None:
    """Remove rows whose invalidation has reached Redis."""
    _remove(engine, Outbox.id.in_(ids))


def purge_now_and_then(engine: Engine) -> None:
    """Remove, once an hour, rows that are too old to matter.

    A service without Redis leaves its rows for processes that may have one.
    """
    due = current_app.extensions.get("bookstall_purge_at", 0.0)
    if time.monotonic() >= due:
        current_app.extensions["bookstall_purge_at"] = time.monotonic() + PURGE_EVERY_SECONDS
        _remove(engine, Outbox.created_at < now() - PURGE_AFTER)


def _remove(engine: Engine, which: ColumnElement[bool]) -> None:
    with engine.connect() as connection:
        connection.execute(delete(Outbox).where(which))
