import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError

from stack import process
from stack.postgres import identifier
from stack.servers import CouldNotStartError, Postgres, Redis, Standby
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parents[2]
NO_RETRY = Retry(NoBackoff(), retries=0)


@pytest.fixture
def cache():
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def postgres():
    with Postgres() as server:
        yield server


def execute(server, command, *arguments, timeout=PATIENCE):
    with redis.Redis.from_url(
        server.url, decode_responses=True, socket_timeout=timeout, retry=NO_RETRY
    ) as client:
        return client.execute_command(command, *arguments)


def select(url, statement):
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg2:"), poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def is_listening(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_redis_restarts_after_a_crash_on_the_same_port_with_its_snapshot(cache):
    url = cache.url
    execute(cache, "SET", "saved", "old")
    cache.save()
    execute(cache, "SET", "saved", "new")
    cache.kill()
    with pytest.raises(redis.ConnectionError):
        execute(cache, "PING")
    cache.start()
    assert cache.url == url
    assert execute(cache, "GET", "saved") == "old"


def test_redis_loses_what_was_not_saved(cache):
    execute(cache, "SET", "key", "value")
    cache.stop()
    cache.start()
    assert execute(cache, "GET", "key") is None


def test_redis_with_save_rules_saves_when_it_stops():
    with Redis(save_rules="60 1") as cache:
        execute(cache, "SET", "key", "value")
        cache.stop()
        cache.start()
        assert execute(cache, "GET", "key") == "value"


def test_a_wiped_redis_is_empty_after_a_restart(cache):
    execute(cache, "SET", "key", "value")
    cache.save()
    cache.wipe()
    cache.kill()
    cache.start()
    assert execute(cache, "DBSIZE") == 0


def test_a_frozen_redis_accepts_connections_and_responds_once_thawed(cache):
    execute(cache, "SET", "key", "value")
    cache.freeze()
    assert is_listening(cache.port)
    with pytest.raises(redis.TimeoutError):
        execute(cache, "GET", "key", timeout=0.1)
    cache.thaw()
    assert execute(cache, "GET", "key") == "value"


def test_a_frozen_redis_can_be_stopped(cache):
    cache.freeze()
    cache.stop()
    assert not is_listening(cache.port)


def test_redis_requires_the_password(cache):
    with (
        redis.Redis(port=cache.port, retry=NO_RETRY) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_postgres_restarts_on_the_same_port_with_its_data(postgres):
    url = postgres.new_database("outage")
    select(url, "CREATE TABLE book AS SELECT 7 AS id")
    postgres.stop()
    with pytest.raises(OperationalError):
        select(url, "SELECT 1")
    postgres.start()
    assert select(url, "SELECT id FROM book") == 7


def test_postgres_restarts_after_a_crash_with_its_data(postgres):
    url = postgres.new_database("crash")
    select(url, "CREATE TABLE book AS SELECT 7 AS id")
    postgres.kill()
    postgres.start()
    assert select(url, "SELECT id FROM book") == 7


def test_a_database_can_be_copied_from_a_template_and_dropped(postgres):
    select(postgres.new_database("first"), "CREATE TABLE book AS SELECT 7 AS id")
    copy = postgres.new_database("second", template="first")
    assert select(copy, "SELECT id FROM book") == 7
    postgres.drop_database("second")
    with pytest.raises(OperationalError, match="does not exist"):
        select(copy, "SELECT 1")


def test_postgres_has_trigrams_and_handles_letters_outside_ascii(postgres):
    url = postgres.new_database("letters")
    select(url, "CREATE EXTENSION pg_trgm")
    assert select(url, "SELECT similarity('ЖИВАГО', 'живаго')") == 1
    assert select(url, "SELECT 'ÉMILE' ILIKE 'émile'")


def test_postgres_listens_on_the_loopback_address_only(postgres):
    assert select(postgres.url, "SHOW listen_addresses") == "127.0.0.1"
    assert select(postgres.url, "SHOW unix_socket_directories") == ""


def test_postgres_requires_the_password(postgres):
    with pytest.raises(OperationalError, match="password"):
        select(postgres.url.replace(postgres.password, "guess"), "SELECT 1")


def test_a_standby_shows_what_it_has_replayed_and_can_take_over():
    with Postgres() as primary, Standby(primary) as standby:
        primary.execute("CREATE TABLE book AS SELECT 7 AS id")
        wait_until(standby.has_replayed_all)
        standby.pause_replay()
        primary.execute("UPDATE book SET id = 8")
        assert not standby.has_replayed_all()
        assert standby.execute("SELECT id FROM book") == 7
        standby.resume_replay()
        wait_until(standby.has_replayed_all)
        assert standby.execute("SELECT id FROM book") == 8
        standby.stop()
        primary.execute("UPDATE book SET id = 9")
        standby.start()
        wait_until(standby.has_replayed_all)
        primary.kill()
        standby.promote()
        assert standby.execute("UPDATE book SET id = 10 RETURNING id + 0") == 10


def test_a_permanent_folder_keeps_its_data_for_another_port(tmp_path):
    with Redis(tmp_path) as cache:
        execute(cache, "SET", "key", "value")
        cache.save()
    with Redis(tmp_path) as cache:
        assert execute(cache, "GET", "key") == "value"


def test_a_temporary_folder_is_removed_by_close(cache):
    cache.close()
    assert not cache.folder.exists()


def test_a_server_that_cannot_start_shows_its_log(cache):
    other = Redis()
    other.port = cache.port
    with pytest.raises(CouldNotStartError, match="Address already in use"):
        other.__enter__()


def test_the_port_of_a_server_is_kept_for_its_next_start(monkeypatch):
    monkeypatch.setattr(process, "PORTS", process.PORTS[:50])
    monkeypatch.setattr(process, "_given", set())
    ports = [process.free_port() for _ in range(40)]
    assert len(set(ports)) == 40


@pytest.mark.parametrize("name", ["", 'a"b', "a b", "a;b", "1a"])
def test_a_database_name_is_an_identifier(name):
    with pytest.raises(ValueError, match="not a name"):
        identifier(name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("kind", ["Redis", "Postgres"])
def test_a_server_ends_with_the_process_that_started_it(kind, number):
    program = (
        f"import signal; from stack.servers import {kind}\n"
        f"with {kind}() as server:\n"
        "    print(server.port, server.folder, flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as parent:
        port, folder = parent.stdout.readline().split()
        assert is_listening(int(port))
        os.kill(parent.pid, number)
    wait_until(lambda: not is_listening(int(port)) and not Path(folder).exists())
