"""One process of all delivers; when it dies, another one goes on."""

import os
import subprocess
import time
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text

from app.extensions import db
from app.services import services_of
from app.webhooks.election import make_lock
from tests.app.webhooks.receivers import HANG
from tests.app.webhooks.running import DelivererProcess, add_webhook, deliveries, write
from tests.waiting import PATIENCE, wait_until


@pytest.fixture
def lock(app):
    """A factory of locks, as each process has one."""
    with ExitStack() as stack:

        def make():
            lock = make_lock(services_of(app).settings.database_url)
            stack.callback(lock.release)
            return lock

        yield make


@pytest.fixture
def processes(database):
    """A factory of processes that deliver."""
    with ExitStack() as stack:

        def start(*arguments):
            return stack.enter_context(DelivererProcess(database, *arguments))

        yield start


def test_one_lock_at_a_time_is_held(lock):
    first, second = lock(), lock()
    assert first.acquire()
    assert first.is_held()
    assert not second.acquire()
    assert not second.is_held()
    first.release()
    assert not first.is_held()
    wait_until(second.acquire)  # PostgreSQL ends a connection a moment after it was closed


def test_a_lock_whose_connection_ends_is_not_held(make_app, postgres_database):
    app = make_app(postgres_database)
    lock = make_lock(services_of(app).settings.database_url)
    assert lock.acquire()
    with app.app_context():
        who = "application_name = 'bookstall webhooks' AND datname = current_database()"
        db.session.execute(
            text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {who}")
        )
        db.session.commit()
    assert not lock.is_held()
    wait_until(lock.acquire)
    lock.release()


def test_a_lock_whose_file_was_replaced_is_not_held(make_app, sqlite_database):
    url = services_of(make_app(sqlite_database)).settings.database_url
    lock, other = make_lock(url), make_lock(url)
    assert lock.acquire()
    Path(f"{url.removeprefix('sqlite:///')}-webhooks.lock").unlink()
    assert not lock.is_held()
    assert other.acquire()
    lock.release()
    other.release()


def test_a_deliverer_that_is_killed_is_replaced(app, receive, processes):
    """Events keep their order; those that were not recorded yet may come twice."""
    receiver = receive()
    add_webhook(app, receiver)
    both = [processes(), processes()]
    wait_until(lambda: any(process.delivers for process in both))
    first, second = sorted(both, key=lambda process: not process.delivers)
    cursors = write(app, 20)
    receiver.wait_for(5)
    first.kill()
    wait_until(lambda: second.delivers)
    cursors += write(app, 5)
    wait_until(lambda: set(cursors) <= set(receiver.accepted))
    repeated = [cursors.index(number) for number in receiver.accepted]
    # A new deliverer goes back by one event at most: each was recorded before the next was sent.
    assert all(after - before in {0, 1} for before, after in pairwise(repeated))


def test_sigterm_completes_the_request_that_runs_and_exits(app, receive, processes):
    receiver = receive()
    number = add_webhook(app, receiver)
    process = processes()
    wait_until(lambda: process.delivers)
    receiver.choose = lambda _: os.kill(process.pid, 15) or time.sleep(0.5) or 200
    cursors = write(app, 3)
    wait_until(lambda: not process.running)
    assert [d.message_id for d in deliveries(app, number)] == cursors[:1] == receiver.accepted
    assert process._process.returncode == 0


def test_a_receiver_that_hangs_delays_no_exit(make_app, sqlite_database, receive):
    app = make_app(sqlite_database, webhook_private_targets=True)
    receiver = receive(lambda _: HANG)
    add_webhook(app, receiver)
    with DelivererProcess(sqlite_database) as process:
        write(app, 1)
        wait_until(lambda: receiver.requests)
        process._process.terminate()
        process._process.wait(PATIENCE)
        assert process._process.returncode == 0


def test_a_deliverer_ends_with_the_process_that_it_belongs_to(sqlite_database):
    with (
        subprocess.Popen(["sleep", str(2 * PATIENCE)]) as other,
        closing(DelivererProcess(sqlite_database, "--until-exit-of", str(other.pid))) as deliverer,
    ):
        deliverer.start()
        wait_until(lambda: deliverer.delivers)
        other.kill()
        other.wait()
        wait_until(lambda: not deliverer.running)
        assert deliverer._process.returncode == 0
