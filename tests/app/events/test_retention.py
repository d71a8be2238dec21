"""Retention: events are stored for FEED_DAYS and removed oldest first."""

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import WindowPassed
from app.events import log
from app.events.log import Cursor, NewEvent
from app.events.sequencer import PURGE_EVERY, purge
from app.extensions import db
from tests.app.events.steps import (
    BOOK,
    LONG_AGO,
    engine_of,
    execute,
    head,
    oldest,
    post_review,
    read_all,
    write,
)
from tests.waiting import wait_until

DAYS = timedelta(days=7)


def test_old_events_are_removed_without_leaving_gaps(app):
    for _ in range(25):
        write(app)
    engine, name = engine_of(app), head(app).log
    execute(
        app, f"UPDATE event SET created_at = '{LONG_AGO}' WHERE position <= 12 OR position = 20"
    )
    purge(engine, DAYS, 100)
    assert [event.position for event in read_all(app)] == list(range(13, 26))
    assert head(app) == (name, 25, 13)
    assert log.after(engine, Cursor(name, 12), 13)[0].position == 13
    with pytest.raises(WindowPassed):
        log.after(engine, Cursor(name, 11), 13)
    # Event 20 is too old, but stays until all events before it are: a removal leaves no gap.
    assert read_all(app)[7].position == 20


def test_many_old_events_are_removed_in_batches_except_the_newest(app):
    with app.app_context():
        log.append([NewEvent("book.created", "t", {})] * 250)
        db.session.commit()
    name = head(app).log
    execute(app, f"UPDATE event SET created_at = '{LONG_AGO}'")
    found = []
    for _ in range(4):
        purge(engine_of(app), DAYS, 100)
        found.append(head(app).oldest)
    assert found == [101, 201, 250, 250]
    assert head(app).log == name


def test_events_of_the_last_days_are_stored(app):
    for _ in range(3):
        write(app)
    moment = "datetime('now', '-6.9 days')"
    if "postgresql" in app.config["SQLALCHEMY_DATABASE_URI"]:
        moment = "now() - interval '6.9 days'"
    execute(app, f"UPDATE event SET created_at = {moment}")
    purge(engine_of(app), DAYS, 100)
    assert head(app).oldest == 1


def test_writes_remove_old_events(make_app, database):
    app = make_app(database, feed_days=1)
    for _ in range(3):
        write(app)
    book = app.test_client().post("/books", json=BOOK).json["id"]
    stored = head(app).position
    moment = (datetime.now(UTC) - timedelta(days=1.1)).isoformat(" ")
    execute(app, f"UPDATE event SET created_at = '{moment}'")
    for _ in range(PURGE_EVERY):
        post_review(app, book)
    # Not by the head: an event that it has to number would be none for the sequencer to purge by.
    wait_until(lambda: oldest(app) > stored)
