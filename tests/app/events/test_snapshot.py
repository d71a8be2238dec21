"""Snapshots contain the changes up to their cursor, and none after it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from threading import Event as ThreadEvent

import orjson
from sqlalchemy import column, select, table, text

from app.events import log
from app.events.log import NewEvent
from app.events.snapshot import open_snapshot
from app.extensions import db
from app.services import services_of
from tests.app.events.steps import engine_of, execute, head, until_committed
from tests.waiting import wait_until

COUNTER = table("counter", column("id"), column("value"))


def test_a_snapshot_and_the_events_up_to_its_cursor_say_the_same(make_app, database):
    app = make_app(database)
    execute(app, "DROP TABLE IF EXISTS counter")
    execute(app, "CREATE TABLE counter (id INTEGER PRIMARY KEY, value INTEGER)")
    execute(app, "INSERT INTO counter VALUES (1, 0), (2, 0), (3, 0), (4, 0)")
    begin, stop = log.Cursor(head(app).log, 0), ThreadEvent()

    def add(key):
        with app.app_context():
            value = db.session.scalar(
                text(f"UPDATE counter SET value = value + 1 WHERE id = {key} RETURNING value")
            )
            log.append([NewEvent("book.changed", f"{key}", {"value": value})])
            db.session.commit()

    def keep_adding(key):
        while not stop.is_set():
            until_committed(partial(add, key))

    try:
        with ThreadPoolExecutor(4) as pool, ExitStack() as ending:
            ending.callback(stop.set)
            writers = [pool.submit(keep_adding, key) for key in (1, 2, 3, 4)]
            wait_until(lambda: head(app).position)
            for _ in range(10):
                snapshot, cursor = open_snapshot(engine_of(app), services_of(app).snapshots)
                (rows,) = snapshot.batches(select(COUNTER.c.id, COUNTER.c.value))
                snapshot.close()
                events = log.after(engine_of(app), begin, cursor.position, cursor.position)
                assert [event.position for event in events] == list(range(1, cursor.position + 1))
                last = {event.topic: orjson.loads(event.data)["value"] for event in events}
                assert {str(key): value for key, value in rows if value} == last
            stop.set()
            for writer in writers:
                writer.result()
    finally:
        execute(app, "DROP TABLE counter")
    assert cursor.position > 0
