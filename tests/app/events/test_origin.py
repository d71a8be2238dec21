"""A copy of a PostgreSQL database, such as a restored dump, gets a log of its own."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import SQLAlchemyError

from app.errors import WindowPassed
from app.events import new_log
from app.events.log import Cursor
from app.extensions import db
from app.services import services_of
from app.webhooks import services
from tests import databases
from tests.app.events.steps import execute, write
from tests.app.webhooks.rows import URL, row_of


@pytest.fixture
def start(make_app):
    """Start an application; return it with the head that it reads first."""

    def begin(url):
        app = make_app(url)
        return app, services_of(app).sequencer.head()

    return begin


@pytest.fixture
def copy(postgres_url):
    """Copy the database of an application, as its dump would; return the URL of the copy."""
    copies = []

    def make(app):
        databases.close(app)  # nobody may be connected
        with app.app_context():
            name = make_url(str(db.engine.url)).database
        copies.append(databases.copy_of(postgres_url, name))
        return copies[-1].__enter__()

    yield make
    for each in copies:
        each.__exit__(None, None, None)


def test_a_copy_refuses_the_cursors_of_the_original(start, copy, postgres_copy):
    original, before = start(postgres_copy)
    with original.app_context():
        webhook = services.add_webhook(URL, []).id
    write(original)
    url = copy(original)
    copied, head = start(url)
    assert (head.log != before.log, head.position) == (True, 1)
    with pytest.raises(WindowPassed):
        head.check(Cursor(before.log, 1))
    row = row_of(copied, webhook)
    assert (row.cursor_log, row.cursor_position) == (head.log, 0)
    write(copied)
    # Each is checked again, and has not changed.
    assert [start(each)[1].log for each in (postgres_copy, url)] == [before.log, head.log]


def test_a_running_process_notices_that_its_database_was_replaced(
    start, copy, postgres_url, postgres_copy
):
    app, before = start(postgres_copy)
    name, backup = make_url(postgres_copy).database, make_url(copy(app)).database
    databases.execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')
    with pytest.raises(SQLAlchemyError):
        services_of(app).sequencer.head()
    databases.execute(postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{backup}"')
    assert services_of(app).sequencer.head().log != before.log


def test_processes_that_start_together_begin_one_log(start, copy, postgres_copy):
    original, before = start(postgres_copy)
    url = copy(original)
    with ThreadPoolExecutor(4) as threads:
        heads = list(threads.map(lambda _: start(url)[1], range(4)))
    last = start(url)[1]
    assert last.log != before.log
    assert {head.log for head in heads} == {last.log}


def test_the_log_of_an_operator_is_not_replaced_once_more(start, copy, postgres_copy):
    url = copy(start(postgres_copy)[0])
    copied, head = start(url)
    with copied.app_context():
        name = new_log.begin_new_log(db.engine)
    assert name != head.log
    assert start(url)[1].log == name


def test_a_log_of_an_older_release_goes_on(start, postgres_copy):
    app, before = start(postgres_copy)
    execute(app, "UPDATE event_head SET origin = NULL")
    assert start(postgres_copy)[1] == before


def test_a_server_that_does_not_tell_is_no_copy(start, postgres_copy, monkeypatch):
    _, before = start(postgres_copy)
    monkeypatch.setattr(new_log, "ORIGIN", text("SELECT * FROM pg_ls_dir('.', no_such_argument)"))
    assert start(postgres_copy)[1] == before
