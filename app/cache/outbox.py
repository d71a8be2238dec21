"""What a commit must still tell others, kept in the transaction of the write itself.

A row stands for an invalidation that Redis may not have heard of. The writer deletes it once
Redis has; where the writer could not, or died, the next process that wants to use the cache
finds the row and delivers it first.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from flask import current_app
from sqlalchemy import JSON, ColumnElement, Engine, delete, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.cache.backend import fewer
from app.config import CACHE_TTL_MAX
from app.db.engine import UtcDateTime, now
from app.extensions import Base, db

BATCH = 5_000
PURGE_EVERY_SECONDS = 3_600.0
PURGE_AFTER = timedelta(seconds=2 * CACHE_TTL_MAX)
"""No entry lives so long: what is older has nothing left to invalidate."""


class Waiting(NamedTuple):
    """A row of the outbox."""

    id: int
    tags: Sequence[str]
    held: bool


class Outbox(Base):
    """An invalidation that is not delivered yet."""

    __tablename__ = "outbox"

    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[list[str]] = mapped_column(JSON)
    # Its writer did not ask Redis, and will not for up to a second: see app/cache/read_through.py.
    held: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


UNDELIVERED = select(Outbox.id, Outbox.tags, Outbox.held).order_by(Outbox.id).limit(BATCH)


def put(tags: Sequence[str], *, held: bool) -> int:
    """Add a row to the transaction at hand and return its id."""
    values = {"tags": fewer(tags), "held": held}
    statement = insert(Outbox).values(values).returning(Outbox.id)
    return db.session.execute(statement).scalar_one()


def hold(engine: Engine, row: int) -> None:
    """Mark a row whose writer has found Redis away."""
    with engine.connect() as connection:
        connection.execute(update(Outbox).where(Outbox.id == row).values(held=True))


def undelivered(engine: Engine) -> Iterator[Sequence[Waiting]]:
    """Give all rows, oldest first, in batches."""
    last = 0
    while True:
        found = UNDELIVERED.where(Outbox.id > last)
        with engine.connect() as connection:
            batch = [Waiting(*row) for row in connection.execute(found)]
        if not batch:
            return
        yield batch
        last = batch[-1].id


def remove(engine: Engine, ids: Sequence[int]) -> None:
    """Remove rows whose invalidation has reached Redis."""
    if ids:
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
