"""The outbox: invalidations that Redis may not have received, in the writes' own transactions.

The writer deletes its row once Redis has confirmed the invalidation. If the writer cannot reach
Redis, or dies, the next process that wants to use the cache finds the row and delivers it first.
"""

import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import JSON, ColumnElement, Engine, Row, delete, false, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.cache.runs import is_newest
from app.cache.tags import collapse_tags
from app.config import MAX_CACHE_TTL
from app.db.types import UtcDateTime, now
from app.extensions import Base, db

BATCH_SIZE = 5_000
PURGE_EVERY_SECONDS = 3_600.0
PURGE_AFTER = timedelta(seconds=2 * MAX_CACHE_TTL)
"""No entry lives that long, so an older row has nothing left to invalidate."""


class Outbox(Base):
    """An invalidation that is not delivered yet."""

    __tablename__ = "outbox"
    # For change_log.py: without it, SQLite would use the id of a removed row again.
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012

    id: Mapped[int] = mapped_column(primary_key=True)
    tags: Mapped[list[str]] = mapped_column(JSON)
    unreachable: Mapped[bool] = mapped_column("held", key="unreachable", default=False)
    """The writer could not reach Redis, and may skip it for up to a second: see lease.py."""
    fine: Mapped[bool] = mapped_column(server_default=false())
    """Whether the tags include the fine ones. After a row without this column, as an older release
    writes it, a trigger adds one with the tag ALL."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


UNDELIVERED = select(Outbox.id, Outbox.tags, Outbox.unreachable).order_by(Outbox.id)


def add(tags: Sequence[str], *, unreachable: bool) -> int:
    """Add a row to the current transaction and return its id."""
    values = {"tags": collapse_tags(tags), "unreachable": unreachable, "fine": True}
    statement = insert(Outbox).values(values).returning(Outbox.id)
    return db.session.execute(statement).scalar_one()


def mark_unreachable(engine: Engine, row_id: int) -> None:
    """Mark a row whose writer could not reach Redis."""
    with engine.connect() as connection:
        connection.execute(update(Outbox).where(Outbox.id == row_id).values(unreachable=True))


def undelivered(engine: Engine) -> Iterator[Sequence[Row[int, list[str], bool]]]:
    """Yield all rows, oldest first, in batches: ``id``, ``tags`` and ``unreachable``."""
    last = 0
    while True:
        statement = UNDELIVERED.where(Outbox.id > last).limit(BATCH_SIZE)
        with engine.connect() as connection:
            batch = connection.execute(statement).all()
        if not batch:
            return
        yield batch
        last = batch[-1].id


def remove(engine: Engine, ids: Sequence[int], run_id: str) -> bool:
    """Remove rows whose invalidation has reached this run of Redis, if all processes use it.

    Return whether any row was removed.
    """
    return bool(ids) and _delete(engine, Outbox.id.in_(ids), is_newest(run_id)) > 0


class OutboxPurger:
    """Removes rows that are too old to matter.

    A process without Redis leaves its rows to other processes, which may have one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.next_purge_at = 0.0

    def purge_periodically(self) -> None:
        """Remove the old rows, at most once an hour."""
        if time.monotonic() >= self.next_purge_at:
            self.next_purge_at = time.monotonic() + PURGE_EVERY_SECONDS
            _delete(self._engine, Outbox.created_at < now() - PURGE_AFTER)


def _delete(engine: Engine, *conditions: ColumnElement[bool]) -> int:
    with engine.connect() as connection:
        return connection.execute(delete(Outbox).where(*conditions)).rowcount
