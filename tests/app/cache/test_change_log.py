"""The change log of SQLite: it misses no committed write, whoever made it and removed its row."""

import json
import sqlite3

import pytest
from sqlalchemy import create_engine, make_url

from app.cache import change_log
from app.cache.change_log import ChangeLog


@pytest.fixture
def path(sqlite_database):
    return make_url(sqlite_database).database


@pytest.fixture
def log(sqlite_database):
    return ChangeLog(create_engine(sqlite_database))


@pytest.fixture
def writer(path):
    connection = sqlite3.connect(path, isolation_level=None)
    yield connection
    connection.close()


def write(writer, *tags):
    """Commit what a write leaves in the outbox."""
    row = (json.dumps(tags), False, "2026-01-01")
    columns = "tags, held, created_at, fine"
    writer.execute(f"INSERT INTO outbox ({columns}) VALUES (?, ?, ?, true)", row)


def test_only_the_tags_of_later_writes_are_changed(log, writer):
    write(writer, "before")
    position = log.catch_up()
    assert log.is_unchanged(["before", "after"], position)
    write(writer, "after", "other")
    assert log.catch_up() == position + 1
    assert log.is_unchanged(["before"], position)
    assert not log.is_unchanged(["before", "after"], position)
    assert log.is_unchanged(["before", "after"], position + 1)


def test_a_write_that_is_not_committed_is_not_seen_before_its_commit(log, writer):
    position = log.catch_up()
    writer.execute("BEGIN IMMEDIATE")
    write(writer, "book:1")
    assert log.catch_up() == position
    writer.execute("COMMIT")
    assert log.catch_up() == position + 1


def test_a_write_that_is_rolled_back_leaves_no_gap(log, writer):
    position = log.catch_up()
    writer.execute("BEGIN IMMEDIATE")
    write(writer, "book:1")
    writer.execute("ROLLBACK")
    write(writer, "book:2")
    assert log.catch_up() == position + 1
    assert log.is_unchanged(["book:1"], position)


def test_the_tag_of_all_entries_changes_every_response(log, writer):
    position = log.catch_up()
    write(writer, "*")
    log.catch_up()
    assert not log.is_unchanged(["book:1"], position)


def test_rows_that_were_removed_before_they_were_read_make_all_responses_stale(log, writer):
    position = log.catch_up()
    write(writer, "book:1")
    writer.execute("DELETE FROM outbox")
    assert log.catch_up() == position + 1
    assert not log.is_unchanged(["book:2"], position)
    write(writer, "book:1")  # with the id after that of the removed row, not with the same
    assert log.catch_up() == position + 2
    assert log.is_unchanged(["book:2"], position + 1)


def test_rows_that_were_read_may_be_removed_except_the_newest(log, writer):
    write(writer, "book:1")
    write(writer, "book:2")
    position = log.catch_up()
    writer.execute("DELETE FROM outbox WHERE tags LIKE '%book:1%'")
    assert log.catch_up() == position
    assert log.is_unchanged(["book:1"], position)
    writer.execute("DELETE FROM outbox")
    log.catch_up()
    assert not log.is_unchanged(["book:1"], position)


def test_too_many_rows_make_all_responses_stale(log, writer, monkeypatch):
    monkeypatch.setattr(change_log, "MAX_ROWS", 3)
    position = log.catch_up()
    for number in range(5):
        write(writer, f"book:{number}")
    log.catch_up()
    assert not log.is_unchanged(["book:99"], position)


def test_too_many_tags_make_all_responses_stale_and_are_forgotten(log, writer, monkeypatch):
    monkeypatch.setattr(change_log, "MAX_TAGS", 3)
    position = log.catch_up()
    for number in range(5):
        write(writer, f"book:{number}")
        log.catch_up()
    assert not log.is_unchanged(["book:99"], position)


def test_a_restored_older_database_makes_all_responses_stale(log, writer, path, tmp_path):
    backup = sqlite3.connect(tmp_path / "backup.db")
    writer.backup(backup)
    write(writer, "book:1")
    position = log.catch_up()
    backup.backup(writer)
    restored = log.catch_up()
    assert not log.is_unchanged(["book:2"], position)
    write(writer, "book:1")  # whose row has the id of the one that the backup lacks
    log.catch_up()
    assert not log.is_unchanged(["book:2"], position)
    assert log.is_unchanged(["book:2"], restored)


@pytest.mark.parametrize("writes", [1, 2])
def test_writes_after_a_restore_do_not_hide_it(log, writer, tmp_path, writes):
    write(writer, "book:1")
    log.catch_up()
    backup = sqlite3.connect(tmp_path / "backup.db")
    writer.backup(backup)
    write(writer, "book:2")
    position = log.catch_up()
    backup.backup(writer)
    for _ in range(writes):  # the first one gets the id of the row that was read last
        write(writer, "book:3")
    log.catch_up()
    assert not log.is_unchanged(["book:2"], position)


def test_a_database_that_cannot_be_read_is_an_error_and_is_read_again_later(log, writer):
    log.catch_up()
    writer.execute("ALTER TABLE outbox RENAME TO elsewhere")
    with pytest.raises(sqlite3.Error):
        log.catch_up()
    writer.execute("ALTER TABLE elsewhere RENAME TO outbox")
    write(writer, "book:1")
    position = log.catch_up()
    assert not log.is_unchanged(["book:1"], position - 1)
