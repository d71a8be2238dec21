"""What has happened, numbered in commit order: the log that subscribers resume from.

The number of an event is taken from the one row of ``event_head``, which stays locked until the
commit: so numbers are in commit order, and an aborted write leaves no gap.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Connection,
    Engine,
    Index,
    String,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from app.api.contract import encode
from app.db.engine import UtcDateTime, now
from app.errors import WindowPassed
from app.extensions import Base, db

KEPT_FOR = timedelta(hours=24)
PURGE_EVERY, PURGED_AT_ONCE = 10, 100
"""Each tenth event takes up to a hundred out that are too old: they never pile up."""
TOPIC_MAX = 60
LOG_BYTES = 8
POSITION_MAX = 2**63 - 1
CURSOR = re.compile(rf"([0-9a-f]{{{2 * LOG_BYTES}}})-(0|[1-9][0-9]{{0,18}})")
STREAM_MAX = 1_000
"""About so many are in the stream: a reader is a moment behind it, or reads the database."""
STREAM_SECONDS = 3_600
"""A stream that nobody adds to any more is forgotten by Redis."""
INSERT: dict[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


class Event(NamedTuple):
    """Something that a committed write has told."""

    position: int
    """Its place in the log; the next event's is one more."""
    topic: str
    """What it is about, as ``book:7:reviews``."""
    payload: bytes
    """JSON."""


class Head(NamedTuple):
    """Where a log stands."""

    log: str
    """The log's own name, made with its database: positions of another log mean nothing here."""
    position: int
    """Of the newest event; 0 before the first."""
    oldest: int
    """Of the oldest event that is kept; ``position + 1`` if none is."""


class Cursor(NamedTuple):
    """A place in a log: behind the event of this position."""

    log: str
    position: int


class EventHead(Base):
    """The log's name, and the position of its newest event: one row."""

    __tablename__ = "event_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    log: Mapped[str] = mapped_column(String(2 * LOG_BYTES))
    position: Mapped[int] = mapped_column(BigInteger)


class StoredEvent(Base):
    """An event, kept for a day."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_topic_position", "topic", "position"),)

    position: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    topic: Mapped[str] = mapped_column(String(TOPIC_MAX))
    payload: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


OLDEST = select(func.min(StoredEvent.position)).scalar_subquery()
NEWEST = select(func.max(StoredEvent.position)).scalar_subquery()
# One statement, one snapshot: its three values belong together.
HEAD = select(
    EventHead.log, EventHead.position, func.coalesce(OLDEST, EventHead.position + 1)
).where(EventHead.id == 1)
# Of the tables, not the models: the line behind this statement waits for what comes after it.
HEADS, STORED = EventHead.metadata.tables["event_head"], StoredEvent.metadata.tables["event"]
TAKE_THE_NEXT = (
    update(HEADS)
    .where(HEADS.c.id == 1)
    .values(position=HEADS.c.position + 1)
    .returning(HEADS.c.log, HEADS.c.position)
)
STORE = insert(STORED)
EVENTS = select(StoredEvent.position, StoredEvent.topic, StoredEvent.payload)


def append(topic: str, payload: Mapping[str, Any]) -> tuple[str, Event]:
    """Add an event to the transaction at hand; return the name of the log with it.

    All other events wait until this transaction ends: call it last before the commit.
    """
    written = encode(payload)
    db.session.flush()
    connection = db.session.connection()
    place = connection.execute(TAKE_THE_NEXT).one_or_none()
    if place is None:
        _make_head(connection)
        place = connection.execute(TAKE_THE_NEXT).one()
    event = Event(place.position, topic, written)
    values = {"position": event.position, "topic": topic, "payload": written.decode()}
    connection.execute(STORE, values)
    return place.log, event


def head(engine: Engine) -> Head:
    """Return where the log stands."""
    with engine.connect() as connection:
        found = connection.execute(HEAD).one_or_none()
        if found is None:
            _make_head(connection)
            found = connection.execute(HEAD).one()
        return Head(*found)


def _make_head(connection: Connection) -> None:
    """Begin a log of a new name where there is none, as after the tables were emptied."""
    make = INSERT[connection.dialect.name](EventHead)
    values = {"id": 1, "log": new_log(), "position": func.coalesce(NEWEST, 0)}
    connection.execute(make.values(values).on_conflict_do_nothing())


def new_log() -> str:
    """Make a name for a log."""
    return secrets.token_hex(LOG_BYTES)


def newest(engine: Engine, upto: int, count: int) -> list[Event]:
    """Return the newest ``count`` events up to a position, or what is kept of them."""
    return _read(engine, upto - count, upto, None, count)


def after(
    engine: Engine, cursor: Cursor, upto: int, topic: str | None = None, limit: int = 500
) -> list[Event]:
    """Return the events behind ``cursor`` up to a position, oldest first, at most ``limit``.

    Of one topic, if one is named. Raise WindowPassed where the log cannot prove that this is all.
    """
    found = _read(engine, cursor.position, upto, topic, limit)
    # Looked at afterwards: what was kept then, was kept while we read.
    log, position, oldest = head(engine)
    if log != cursor.log or not oldest - 1 <= cursor.position <= position:
        raise WindowPassed
    return found


def _read(engine: Engine, position: int, upto: int, topic: str | None, limit: int) -> list[Event]:
    asked = EVENTS.where(StoredEvent.position > position, StoredEvent.position <= upto)
    if topic is not None:
        asked = asked.where(StoredEvent.topic == topic)
    with engine.connect() as connection:
        found = connection.execute(asked.order_by(StoredEvent.position).limit(limit))
        return [Event(position, topic, payload.encode()) for position, topic, payload in found]


def purge_now_and_then(engine: Engine, position: int) -> None:
    """Remove, at each tenth event, some of the oldest that are too old.

    Always all up to a position: so what is kept has no gaps, whoever else removes.
    """
    if position % PURGE_EVERY:
        return
    oldest = (
        select(StoredEvent.position, StoredEvent.created_at)
        .order_by(StoredEvent.position)
        .limit(PURGED_AT_ONCE + 1)
        .subquery()
    )
    young = func.min(oldest.c.position).filter(oldest.c.created_at >= now() - KEPT_FOR)
    first_to_keep = select(func.coalesce(young, func.max(oldest.c.position))).scalar_subquery()
    with engine.connect() as connection:
        connection.execute(delete(StoredEvent).where(StoredEvent.position < first_to_keep))


def cursor_of(log: str, position: int) -> str:
    """Write a cursor, safe in URLs."""
    return f"{log}-{position}"


def read_cursor(text: str) -> Cursor:
    """Read what ``cursor_of`` wrote; raise ValueError for anything else."""
    parts = CURSOR.fullmatch(text)
    if parts is None or int(parts[2]) > POSITION_MAX:
        raise ValueError("not a cursor of a log")
    return Cursor(parts[1], int(parts[2]))


def stream_key(log: str) -> str:
    """Name the stream of a log in Redis.

    Not below the run_id of the server, as the cache: its ids are the positions, and mean the same
    in any memory.
    """
    return f"bookstall:{log}:events"


def announcement(log: str, event: Event) -> Sequence[Sequence[Any]]:
    """Return the commands that add ``event`` to the stream; Redis may refuse them."""
    key, place = stream_key(log), f"{event.position}-0"
    added = ("XADD", key, "MAXLEN", "~", STREAM_MAX, place)
    fields = ("t", event.topic, "p", event.payload)
    return [(*added, *fields), ("EXPIRE", key, STREAM_SECONDS)]
