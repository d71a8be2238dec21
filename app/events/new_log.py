"""A new log, which makes all cursors invalid: after the database was restored or copied."""

from sqlalchemy import Engine, text, update

from app.db.engine import transaction
from app.events.log import Cursor, head
from app.events.models import LogFollower, new_log_name
from app.events.statements import HEAD_TABLE, LOCKED_HEAD
from app.extensions import Base


def begin_new_log(engine: Engine, lost: Cursor | None = None) -> str:
    """Give the log a new name, and return it: cursors of the old one are refused from now on.

    With ``lost`` only if this is a place in the log to which it no longer extends. The new log has
    the events of the old one at the same positions, so what follows the log within the database
    goes on in the new one.
    """
    head(engine)  # creates it if the tables were emptied
    followers = [Base.metadata.tables[each.__tablename__] for each in LogFollower.__subclasses__()]
    with transaction(engine) as connection:
        if connection.dialect.name == "postgresql":
            # Others lock some of these rows, in any order, and may wait for the head meanwhile.
            for table in followers:
                connection.execute(text(f"LOCK TABLE {table.name} IN EXCLUSIVE MODE"))
        log, position = connection.execute(LOCKED_HEAD).one()
        if lost is not None and (lost.log != log or lost.position <= position):
            return log
        new = new_log_name()
        connection.execute(update(HEAD_TABLE).values(log=new))
        for table in followers:
            moved = update(table).where(table.c.cursor_log == log)
            connection.execute(moved.values(cursor_log=new))
    return new
