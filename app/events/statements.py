"""The statements of the event log."""

from sqlalchemy import BigInteger, bindparam, delete, exists, func, insert, select, update

from app.events.models import EventHead, StoredEvent
from app.extensions import Base

NUMBERED_AT_ONCE = 1_000
"""A transaction gives positions to so many events: readers get the first of many early."""

# Core tables, not ORM models: these statements run once for each write.
HEAD_TABLE, EVENT_TABLE = (
    Base.metadata.tables[model.__tablename__] for model in (EventHead, StoredEvent)
)
STORED = EVENT_TABLE.c
COLUMNS = (
    STORED.position,
    STORED.type,
    STORED.topic,
    STORED.created_at,
    STORED.payload,
    STORED.context,
)
OLDEST = select(func.min(STORED.position)).scalar_subquery()
# One statement reads one snapshot, so its values are consistent.
HEAD = select(
    HEAD_TABLE.c.log,
    HEAD_TABLE.c.position,
    func.coalesce(OLDEST, HEAD_TABLE.c.position + 1),
    ~exists().where(STORED.position.is_(None)),
).where(HEAD_TABLE.c.id == 1)
LOCKED_HEAD = select(HEAD_TABLE.c.log, HEAD_TABLE.c.position).with_for_update()
INSERT_EVENTS = insert(EVENT_TABLE)
UNNUMBERED = (
    select(STORED.id)
    .where(STORED.position.is_(None))
    .order_by(STORED.id)
    .limit(NUMBERED_AT_ONCE)
    .subquery()
)
IN_ORDER = select(
    UNNUMBERED.c.id, func.row_number().over(order_by=UNNUMBERED.c.id).label("number")
).subquery()
NUMBERED = (
    update(EVENT_TABLE)
    .where(STORED.id == IN_ORDER.c.id)
    .values(position=bindparam("head", type_=BigInteger) + IN_ORDER.c.number)
    .returning(*COLUMNS)
    .cte("numbered")
)
ADVANCED = (
    update(HEAD_TABLE)
    .where(HEAD_TABLE.c.id == 1, exists(select(NUMBERED)))
    .values(position=select(func.max(NUMBERED.c.position)).scalar_subquery())
    .cte("advanced")
)
NUMBER_EVENTS = select(NUMBERED).order_by(NUMBERED.c.position).add_cte(ADVANCED)
"""Gives positions to events, advances the head, and returns the events, in one round trip."""
EVENTS = select(*COLUMNS)
OLDEST_EVENTS = (
    select(STORED.position, STORED.created_at)
    .where(STORED.position.is_not(None))
    .order_by(STORED.position)
    .limit(bindparam("limit") + 1)
    .subquery()
)
FIRST_RECENT = func.min(OLDEST_EVENTS.c.position).filter(
    OLDEST_EVENTS.c.created_at >= bindparam("keep_from", type_=STORED.created_at.type)
)
FIRST_TO_KEEP = select(func.coalesce(FIRST_RECENT, func.max(OLDEST_EVENTS.c.position)))
PURGE_EVENTS = delete(EVENT_TABLE).where(STORED.position < FIRST_TO_KEEP.scalar_subquery())
"""Removes up to ``limit`` events: always a prefix of the log, also if several processes do it."""
