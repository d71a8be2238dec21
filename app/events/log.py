"""The event log: events numbered in commit order, from which subscribers resume.

The position of an event comes from the single row of ``event_head``, which stays locked until the
commit. So positions are in commit order, and a write that is rolled back leaves no gap.
"""

import re
import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    Engine,
    Executable,
    Index,
    Row,
    String,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.statements import dialect_insert
from app.db.types import UtcDateTime, now
from app.errors import WindowPassed
from app.extensions import Base, db
from app.json import encode

RETENTION = timedelta(hours=24)
PURGE_EVERY, PURGE_LIMIT = 10, 100
"""Every tenth event removes up to a hundred old ones, so they cannot accumulate."""
MAX_TOPIC_LENGTH = 60
LOG_NAME_BYTES = 8
MAX_POSITION = 2**63 - 1
CURSOR_PATTERN = re.compile(rf"([0-9a-f]{{{2 * LOG_NAME_BYTES}}})-(0|[1-9][0-9]{{0,18}})")


class Event(NamedTuple):
    """An event of a committed write."""

    position: int
    """Positions have no gaps: the next event's is one higher."""
    topic: str
    """Such as ``book:7:reviews``."""
    payload: bytes
    """JSON."""


class LogHead(NamedTuple):
    """The name of a log, and the positions of its newest and oldest event."""

    log: str
    """Created with the database: a position of one log means nothing in another."""
    position: int
    """Of the newest event; 0 before the first."""
    oldest: int
    """Of the oldest event that is stored; ``position + 1`` if none is."""


class Cursor(NamedTuple):
    """A place in a log: after the event at this position."""

    log: str
    position: int


class EventHead(Base):
    """The name of the log and the position of its newest event: a single row."""

    __tablename__ = "event_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    log: Mapped[str] = mapped_column(String(2 * LOG_NAME_BYTES))
    position: Mapped[int] = mapped_column(BigInteger)


class StoredEvent(Base):
    """An event, stored for RETENTION."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_topic_position", "topic", "position"),)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    topic: Mapped[str] = mapped_column(String(MAX_TOPIC_LENGTH))
    payload: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


OLDEST = select(func.min(StoredEvent.position)).scalar_subquery()
# One statement reads one snapshot, so its three values are consistent.
HEAD = select(
    EventHead.log, EventHead.position, func.coalesce(OLDEST, EventHead.position + 1)
).where(EventHead.id == 1)
# Core tables, not ORM models: this runs while the head row is locked and every other writer
# queues behind it.
HEAD_TABLE, EVENT_TABLE = (Base.metadata.tables[name] for name in ("event_head", "event"))
NEXT_POSITION = (
    update(HEAD_TABLE)
    .where(HEAD_TABLE.c.id == 1)
    .values(position=HEAD_TABLE.c.position + 1)
    .returning(HEAD_TABLE.c.log, HEAD_TABLE.c.position)
)
INSERT_EVENT = insert(EVENT_TABLE)
EVENTS = select(StoredEvent.position, StoredEvent.topic, StoredEvent.payload)


def append(topic: str, payload: Mapping[str, Any]) -> tuple[str, Event]:
    """Append an event in the current transaction; return the name of the log and the event.

    All other writers of events wait until this transaction ends: call it last before the commit.
    """
    encoded = encode(payload)
    db.session.flush()
    connection = db.session.connection()
    log, position = _execute_on_head(connection, NEXT_POSITION)
    values = {"position": position, "topic": topic, "payload": encoded.decode()}
    connection.execute(INSERT_EVENT, values)
    return log, Event(position, topic, encoded)


def head(engine: Engine) -> LogHead:
    """Return the head of the log; create it if the tables were emptied."""
    with engine.connect() as connection:
        return LogHead(*_execute_on_head(connection, HEAD))


def _execute_on_head(connection: Connection, statement: Executable) -> Row[*tuple[Any, ...]]:
    """Return the row of ``statement``; first create a new log if the tables were emptied."""
    if row := connection.execute(statement).one_or_none():
        return row
    last = select(func.max(StoredEvent.position)).scalar_subquery()
    values = {"id": 1, "log": new_log_name(), "position": func.coalesce(last, 0)}
    new_head = dialect_insert(connection.dialect.name, EventHead).values(values)
    connection.execute(new_head.on_conflict_do_nothing())
    return connection.execute(statement).one()


def new_log_name() -> str:
    """Return a new name for a log."""
    return secrets.token_hex(LOG_NAME_BYTES)


def newest(engine: Engine, upto: int, count: int) -> list[Event]:
    """Return the newest ``count`` events up to a position; fewer if not all are stored."""
    return _read(engine, upto - count, upto, None, count)


def after(
    engine: Engine, cursor: Cursor, upto: int, topic: str | None = None, limit: int = 500
) -> list[Event]:
    """Return the events after ``cursor`` up to a position, oldest first, at most ``limit``.

    Raise WindowPassed if some of them may no longer be stored.
    """
    found = _read(engine, cursor.position, upto, topic, limit)
    # Read afterwards: what is stored now was also stored while we read the events.
    log, position, oldest = head(engine)
    if log != cursor.log or not oldest - 1 <= cursor.position <= position:
        raise WindowPassed
    return found


def _read(engine: Engine, position: int, upto: int, topic: str | None, limit: int) -> list[Event]:
    statement = EVENTS.where(StoredEvent.position > position, StoredEvent.position <= upto)
    if topic is not None:
        statement = statement.where(StoredEvent.topic == topic)
    with engine.connect() as connection:
        rows = connection.execute(statement.order_by(StoredEvent.position).limit(limit))
        return [Event(position, topic, payload.encode()) for position, topic, payload in rows]


def purge_periodically(engine: Engine, position: int) -> None:
    """Remove up to PURGE_LIMIT events older than RETENTION, if PURGE_EVERY divides ``position``.

    It always removes a prefix of the log, so the stored events have no gaps even if several
    processes purge at once.
    """
    if position % PURGE_EVERY:
        return
    oldest = (
        select(StoredEvent.position, StoredEvent.created_at)
        .order_by(StoredEvent.position)
        .limit(PURGE_LIMIT + 1)
        .subquery()
    )
    recent = func.min(oldest.c.position).filter(oldest.c.created_at >= now() - RETENTION)
    first_to_keep = select(func.coalesce(recent, func.max(oldest.c.position))).scalar_subquery()
    with engine.connect() as connection:
        connection.execute(delete(StoredEvent).where(StoredEvent.position < first_to_keep))


def format_cursor(log: str, position: int) -> str:
    """Return a cursor as text, safe in URLs."""
    return f"{log}-{position}"


def parse_cursor(text: str) -> Cursor:
    """Parse the text that ``format_cursor`` returns; raise ValueError for any other."""
    parts = CURSOR_PATTERN.fullmatch(text)
    if parts is None or int(parts[2]) > MAX_POSITION:
        raise ValueError("not a cursor of a log")
    return Cursor(parts[1], int(parts[2]))
