"""Retention: events are stored for a day and removed oldest first."""

import pytest

from app.errors import WindowPassed
from app.events import log
from app.events.log import PURGE_EVERY, PURGE_LIMIT, Cursor
from tests.app.events.steps import LONG_AGO, engine_of, execute, head, read_all, write


def test_events_older_than_a_day_are_removed_without_leaving_gaps(app):
    for _ in range(25):
        write(app)
    execute(
        app, f"UPDATE event SET created_at = '{LONG_AGO}' WHERE position <= 12 OR position = 20"
    )
    engine, name = engine_of(app), head(app).log
    for _ in range(PURGE_EVERY):
        write(app)
    assert [event.position for event in read_all(app)] == list(range(13, 36))
    assert head(app) == (name, 35, 13)
    assert log.after(engine, Cursor(name, 12), 13)[0].position == 13
    with pytest.raises(WindowPassed):
        log.after(engine, Cursor(name, 11), 13, topic="t")
    # Event 20 is too old, but stays until all events before it are: a removal leaves no gap.
    assert read_all(app)[7].position == 20


def test_many_old_events_are_removed_in_batches_except_the_newest(app):
    execute(
        app,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) "
        f"INSERT INTO event SELECT i, 't', '{{}}', '{LONG_AGO}' FROM n",
    )
    name = head(app).log  # creates the head, above the events in the table
    assert head(app) == (name, 250, 1)
    engine = engine_of(app)
    oldest = []
    for _ in range(4):
        log.purge_periodically(engine, PURGE_EVERY)
        oldest.append(head(app).oldest)
    assert oldest == [1 + PURGE_LIMIT, 1 + 2 * PURGE_LIMIT, 250, 250]


def test_events_of_the_last_day_are_stored(app):
    for _ in range(3):
        write(app)
    moment = "datetime('now', '-86000 seconds')"
    if "postgresql" in app.config["SQLALCHEMY_DATABASE_URI"]:
        moment = "now() - interval '86000 seconds'"
    execute(app, f"UPDATE event SET created_at = {moment}")
    log.purge_periodically(engine_of(app), PURGE_EVERY)
    assert head(app).oldest == 1
