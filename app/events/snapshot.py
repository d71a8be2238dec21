"""Snapshots with their place in the event log: an export, and then the events after it."""

from sqlalchemy import Engine, func, select, text

from app.db.snapshots import Snapshot, Snapshots
from app.events import log as events
from app.events.log import Cursor
from app.events.statements import HEAD, LOCKED_HEAD

LOCK_HEAD = text("LOCK TABLE event_head IN EXCLUSIVE MODE")


def open_snapshot(engine: Engine, snapshots: Snapshots) -> tuple[Snapshot, Cursor]:
    """Return a new snapshot, to be closed, and the cursor of the last event that it contains.

    It contains all changes up to that event, and none after it. Raise TooManyExports or an error
    of SQLAlchemy.
    """
    events.head(engine)  # creates it if the tables were emptied
    if engine.dialect.name == "sqlite":
        snapshot = snapshots.open()
        row = snapshot.row(HEAD)
        return snapshot, Cursor(row[0], row[1])
    with snapshots.exporting() as connection:
        # Nobody numbers events now, and the snapshot is taken by the next statement. Locking the
        # row would take it first. What the snapshot contains and has no position gets one.
        connection.execute(LOCK_HEAD)
        name = connection.scalar(select(func.pg_export_snapshot()))
        snapshot = snapshots.open(name)
        try:
            log, position = connection.execute(LOCKED_HEAD).one()
            while numbered := events.number_visible(connection, position):
                position = numbered[-1].position
        except BaseException:
            snapshot.close()
            raise
    return snapshot, Cursor(log, position)
