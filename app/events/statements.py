"""The statements of the event log."""

from sqlalchemy import BigInteger, bindparam, exists, func, insert, select, update

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
NUMBER_EVENTS = (
    update(EVENT_TABLE)
    .where(STORED.id == IN_ORDER.c.id)
    .values(position=bindparam("head", type_=BigInteger) + IN_ORDER.c.number)
    .returning(*COLUMNS)
)
EVENTS = select(*COLUMNS)
