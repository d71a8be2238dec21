"""The event log: committed changes, numbered in one order, from which followers resume.

A writer on PostgreSQL inserts its events without a position. It draws their ids from a sequence
while it holds the locks of the rows that it changed, so the ids of one thing's events are in the
order of its changes. ``number_events`` later gives positions to all committed events in the order
of their ids, while it holds the row of ``event_head``, for which no writer waits. An event whose
id is lower than one that already has a position was committed later, and is about other things.

SQLite has one writer at a time, which numbers its events itself.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    Connection,
    Engine,
    Executable,
    Row,
    func,
    select,
    update,
)

from app.db.engine import transaction
from app.db.statements import dialect_insert
from app.db.types import now
from app.errors import WindowPassed
from app.events.models import LOG_NAME_BYTES, EventHead, new_log_name
from app.events.statements import (
    COLUMNS,
    EVENTS,
    HEAD,
    HEAD_TABLE,
    INSERT_EVENTS,
    LOCKED_HEAD,
    NUMBER_EVENTS,
    NUMBERED_AT_ONCE,
    STORED,
)
from app.extensions import db
from app.json import encode, time_text

MAX_POSITION = 2**63 - 1
CURSOR_PATTERN = re.compile(rf"([0-9a-f]{{{2 * LOG_NAME_BYTES}}})-(0|[1-9][0-9]{{0,18}})")


class NewEvent(NamedTuple):
    """An event that is not stored yet."""

    type: str
    """One of models.TYPES."""
    topic: str
    """What it is about, such as ``product:5``."""
    data: Mapping[str, Any]
    """The thing as REST shows it."""
    context: Mapping[str, Any] | None = None
    """What only subscriptions show of it."""


class Event(NamedTuple):
    """An event of a committed write."""

    position: int
    """Positions have no gaps: the next event's is one higher."""
    type: str
    topic: str
    at: str
    """When it was written, as JSON shows times."""
    data: bytes
    """JSON."""
    context: bytes = b"{}"
    """JSON."""


class Numbered(NamedTuple):
    """Events that were given their positions in one transaction, in this order."""

    log: str
    events: Sequence[Event]


class LogHead(NamedTuple):
    """The name of a log, and the positions of its newest and oldest event."""

    log: str
    """Created with the database: a position of one log means nothing in another."""
    position: int
    """Of the newest event; 0 before the first."""
    oldest: int
    """Of the oldest event that is stored; ``position + 1`` if none is."""

    @property
    def beginning(self) -> "Cursor":
        """The place before the oldest event."""
        return Cursor(self.log, self.oldest - 1)

    def check(self, cursor: "Cursor") -> None:
        """Raise WindowPassed unless all events after ``cursor`` are stored."""
        if cursor.log != self.log or not self.oldest - 1 <= cursor.position <= self.position:
            raise WindowPassed


class Cursor(NamedTuple):
    """A place in a log: after the event at this position."""

    log: str
    position: int


def append(new: Sequence[NewEvent]) -> Numbered | None:
    """Append events in the current transaction, in which all changed rows are locked by now.

    Return them on SQLite, where they have a position already: the sequencer publishes them.
    """
    db.session.flush()
    connection = db.session.connection()
    created_at = now()
    rows = [
        {
            "type": event.type,
            "topic": event.topic,
            "payload": encode(event.data).decode(),
            "context": None if event.context is None else encode(event.context).decode(),
            "created_at": created_at,
        }
        for event in new
    ]
    if connection.dialect.name != "sqlite":
        connection.execute(INSERT_EVENTS, rows)
        return None
    log, last = _advance(connection, len(rows))
    numbered = [{**row, "position": at} for at, row in enumerate(rows, last - len(rows) + 1)]
    connection.execute(INSERT_EVENTS, numbered)
    return Numbered(log, [_event([row[column.key] for column in COLUMNS]) for row in numbered])


def number_events(engine: Engine) -> Numbered:
    """Give positions to committed events that have none, at most NUMBERED_AT_ONCE; return them.

    Only PostgreSQL has such events.
    """
    with transaction(engine) as connection:
        # First the lock, then the events: the next statement sees all that was committed before.
        log, position = _execute_on_head(connection, LOCKED_HEAD)
        return Numbered(log, number_visible(connection, position))


def number_visible(connection: Connection, position: int) -> list[Event]:
    """Give positions to at most NUMBERED_AT_ONCE events that ``connection`` sees; return them.

    It holds the lock of the head, which is at ``position``.
    """
    return list(map(_event, connection.execute(NUMBER_EVENTS, {"head": position})))


def _advance(connection: Connection, count: int) -> tuple[str, int]:
    """Add ``count`` to the position of the head; return the log and the new position."""
    position = HEAD_TABLE.c.position + count
    statement = update(HEAD_TABLE).where(HEAD_TABLE.c.id == 1).values(position=position)
    log, new = _execute_on_head(connection, statement.returning(*HEAD_TABLE.c["log", "position"]))
    return log, new


def head(engine: Engine, publish: Callable[[Numbered], None] = lambda _: None) -> LogHead:
    """Return the head of the log, which all that was committed before this call is part of.

    Number what has no position yet, and ``publish`` it. Create the log if the tables were emptied.
    """
    found, is_complete = _read_head(engine)
    while not is_complete:
        publish(numbered := number_events(engine))
        is_complete = len(numbered.events) < NUMBERED_AT_ONCE
        found, _ = _read_head(engine)
    return found


def _read_head(engine: Engine) -> tuple[LogHead, bool]:
    """Return the head, and whether all committed events have a position."""
    with engine.connect() as connection:
        log, position, oldest, is_complete = _execute_on_head(connection, HEAD)
    return LogHead(log, position, oldest), is_complete


def _execute_on_head(connection: Connection, statement: Executable) -> Row[*tuple[Any, ...]]:
    """Return the row of ``statement``; first create a new log if the tables were emptied."""
    if row := connection.execute(statement).one_or_none():
        return row
    last = select(func.max(STORED.position)).scalar_subquery()
    values = {"id": 1, "log": new_log_name(), "position": func.coalesce(last, 0)}
    new_head = dialect_insert(connection.dialect.name, EventHead).values(values)
    connection.execute(new_head.on_conflict_do_nothing())
    return connection.execute(statement).one()


def newest(engine: Engine, upto: int, count: int) -> list[Event]:
    """Return the newest ``count`` events up to a position; fewer if not all are stored."""
    return _read(engine, upto - count, upto, count)


def after(
    engine: Engine,
    cursor: Cursor,
    upto: int,
    limit: int = 500,
    types: frozenset[str] | None = None,
) -> list[Event]:
    """Return the events after ``cursor`` up to a position, oldest first, at most ``limit``.

    With ``types`` only those of these types. Raise WindowPassed if some events may no longer be
    stored.
    """
    found = _read(engine, cursor.position, upto, limit, types)
    # Read afterwards: what is stored now was also stored while we read the events.
    _read_head(engine)[0].check(cursor)
    return found


def _read(
    engine: Engine, position: int, upto: int, limit: int, types: frozenset[str] | None = None
) -> list[Event]:
    statement = EVENTS.where(STORED.position > position, STORED.position <= upto)
    if types is not None:
        statement = statement.where(STORED.type.in_(sorted(types)))
    with engine.connect() as connection:
        rows = connection.execute(statement.order_by(STORED.position).limit(limit))
        return list(map(_event, rows))


def _event(row: Sequence[Any]) -> Event:
    position, kind, topic, at, payload, context = row
    return Event(position, kind, topic, time_text(at), payload.encode(), (context or "{}").encode())


def format_cursor(log: str, position: int) -> str:
    """Return a cursor as text, safe in URLs."""
    return f"{log}-{position}"


def parse_cursor(text: str) -> Cursor:
    """Parse the text that ``format_cursor`` returns; raise ValueError for any other."""
    parts = CURSOR_PATTERN.fullmatch(text)
    if parts is None or int(parts[2]) > MAX_POSITION:
        raise ValueError("not a cursor of a log")
    return Cursor(parts[1], int(parts[2]))
