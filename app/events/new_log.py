"""A new log, which makes all cursors invalid: after the database was restored or copied."""

import logging

from sqlalchemy import Engine, insert, select, text, update
from sqlalchemy.exc import NotSupportedError, ProgrammingError

from app.db.engine import transaction
from app.events.log import head
from app.events.models import LogFollower, new_log_name
from app.events.statements import HEAD_TABLE
from app.extensions import Base

ORIGIN = text(
    "SELECT system_identifier || '/' || oid FROM pg_control_system(), pg_database"
    " WHERE datname = current_database()"
)
"""Names the server's data and the database in it. A dump takes neither along."""
LOCKED_NAMES = select(HEAD_TABLE.c.log, HEAD_TABLE.c.origin).with_for_update()
log = logging.getLogger(__name__)


def begin_new_log(engine: Engine, origin: str | None = None) -> str:
    """Give the log a new name, and return it: cursors of the old one are refused from now on.

    With ``origin`` only if the log still comes from there. The new log has the events of the old
    one at the same positions, so what follows the log within the database goes on in the new one.
    Cached responses are invalidated.
    """
    head(engine)  # creates it if the tables were emptied
    followers = [Base.metadata.tables[each.__tablename__] for each in LogFollower.__subclasses__()]
    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            # Others lock some of these rows, in any order, and may wait for the head meanwhile.
            for table in followers:
                connection.execute(text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE"))
        old, known_origin = connection.execute(LOCKED_NAMES).one()
        if origin not in (None, known_origin):  # another process was faster
            return str(old)
        new = new_log_name()
        connection.execute(update(HEAD_TABLE).values(log=new, origin=None))
        for table in followers:
            moved = update(table).where(table.c.cursor_log == old)
            connection.execute(moved.values(cursor_log=new))
        # Of the cache: Redis may have responses from what a restored database has lost.
        outbox = Base.metadata.tables["outbox"]
        connection.execute(insert(outbox).values(tags=["*"], fine=True))
    return new


def check_origin(engine: Engine) -> None:
    """Begin a new log if this database is a copy: the log comes from another one of PostgreSQL.

    It recognizes dumps and CREATE DATABASE ... TEMPLATE. What is copied or restored byte by byte
    is the same database to PostgreSQL, and so is one into which its own dump is restored.
    """
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        try:
            here = connection.scalar(ORIGIN)
        except (ProgrammingError, NotSupportedError) as error:  # as some services restrict it
            log.info("copies of this database are not recognized: %s", error.orig)
            return
        known = connection.scalar(select(HEAD_TABLE.c.origin))
    if known == here:
        return
    if known is not None:
        begin_new_log(engine, known)
        log.warning("this database is a copy of another one: the change feed has a new log")
    unknown = update(HEAD_TABLE).where(HEAD_TABLE.c.origin.is_(None))
    with engine.connect() as connection:
        connection.execute(unknown.values(origin=here))
