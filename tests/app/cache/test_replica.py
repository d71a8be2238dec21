"""Misses are read from a replica, but only if it shows every write that was acknowledged."""

import signal
import time
from itertools import count

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import event

from app.cache import runs
from app.config import database_url
from app.db import replica as replicas
from app.db.engine import autocommit_engine
from app.services import services_of
from stack.servers import Postgres, Standby
from tests.app.cache.steps import BOOK, HIT, STORED, execute
from tests.app.cache.steps import add_review as add_review_of
from tests.servers import signal_all_processes
from tests.waiting import PATIENCE, patient, shortest, wait_until

MAX_SECONDS = replicas.MAX_SECONDS
NAME = "shop"
OTHER = "other"
NUMBERS = count(1)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Wait longer for the replica, as a busy machine may delay a response by a second."""
    monkeypatch.setattr(replicas, "MAX_SECONDS", PATIENCE)
    monkeypatch.setattr(replicas, "STATEMENT_SECONDS", PATIENCE)


@pytest.fixture(scope="module")
def primary(migrate):
    with Postgres() as server:
        migrate(server.new_database(NAME))
        server.new_database(OTHER, template=NAME)
        yield server


@pytest.fixture(scope="module")
def shared_standby(primary):
    with Standby(primary) as server:
        yield server


@pytest.fixture
def standby(shared_standby):
    """One that replays, before and after the test."""
    catch_up(shared_standby)
    yield shared_standby
    shared_standby.resume_replay()


@pytest.fixture
def make_worker(make_app, primary, standby, fresh_redis):
    """A factory of applications that read from the standby; keywords change their settings."""

    def make(**settings):
        urls = {"redis_url": fresh_redis, "database_read_url": read_url(standby)}
        return make_app(primary.url_for(NAME), **{**urls, **settings})

    return make


@pytest.fixture
def client(make_worker):
    client = make_worker().test_client()
    warm_up(client)
    return client


def read_url(server, name=NAME):
    return database_url(server.url_for(name))


def catch_up(standby):
    """Wait until the standby has replayed all."""

    def has_replayed_all():
        # What it is compared with may be a page boundary, which only a further record passes.
        standby.primary.execute("SELECT pg_logical_emit_message(true, 'test', '')")
        return standby.has_replayed_all()

    wait_until(has_replayed_all)


def warm_up(client):
    """Let the replica serve a miss, so that the client has connected to it."""
    wait_until(lambda: read(client, new_path())[1] == "replica")


def new_path():
    """Return a path that no response in the cache is for."""
    return f"/books?q={next(NUMBERS)}"


def outcomes():
    name = "bookstall_replica_reads_total"
    names = ("replica", "behind", "failed")
    return {each: REGISTRY.get_sample_value(name, {"outcome": each}) or 0 for each in names}


def read(client, path):
    """Read a response that is not cached; return its JSON and from where the view has read."""
    before = outcomes()
    response = client.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["Cache-Status"] == STORED
    (outcome,) = [each for each, number in outcomes().items() if number != before[each]]
    return response.json, outcome


def add_book(client):
    response = client.post("/books", json=BOOK)
    assert response.status_code == 201
    return f"/books/{response.json['id']}"


def positions_asked(worker, action):
    """Return how often the primary was asked for its position during an action."""
    statements = []
    with worker.app_context():
        engine = autocommit_engine()

    def record(*call):
        statements.append(call[2])

    event.listen(engine, "before_cursor_execute", record)
    try:
        action()
    finally:
        event.remove(engine, "before_cursor_execute", record)
    return sum("pg_current_wal_insert_lsn" in statement for statement in statements)


def test_a_miss_is_read_from_the_replica_and_stored(make_worker):
    worker = make_worker()
    client = worker.test_client()
    book = add_book(client)
    warm_up(client)
    statements = []
    with worker.app_context():
        event.listen(
            autocommit_engine(), "before_cursor_execute", lambda *call: statements.append(call[2])
        )
    assert read(client, book)[1] == "replica"
    assert [each for each in statements if "FROM book" in each] == []
    assert client.get(book).headers["Cache-Status"] == "bookstall; hit"


def test_a_read_after_a_write_is_right_however_far_behind_the_replica_is(client, standby):
    book = add_book(client)
    wait_until(lambda: read(client, new_path())[1] == "replica")
    assert read(client, book)[0]["review_count"] == 0
    standby.pause_replay()
    add_review_of(client, book.split("/")[-1])
    shown, outcome = read(client, book)
    assert (shown["review_count"], outcome) == (1, "behind")
    other = add_book(client)
    assert read(client, other)[1] == "behind"
    standby.resume_replay()
    catch_up(standby)
    assert read(client, new_path())[1] == "replica"


def test_the_writes_of_other_processes_count(make_worker, standby):
    reader = make_worker().test_client()
    warm_up(reader)
    writer = make_worker(database_read_url=None).test_client()
    book = add_book(writer)
    read(reader, book)
    standby.pause_replay()
    add_review_of(writer, book.split("/")[-1])
    assert read(reader, book)[0]["review_count"] == 1


def test_a_write_that_another_process_has_to_announce_counts(make_worker, standby):
    """Without Redis the writer leaves the invalidation in the outbox."""
    reader = make_worker().test_client()
    warm_up(reader)
    writer = make_worker(database_read_url=None, redis_url=None).test_client()
    book = add_book(writer)
    wait_until(lambda: reader.get(book).status_code == 200)
    standby.pause_replay()
    add_review_of(writer, book.split("/")[-1])
    wait_until(lambda: reader.get(book).json["review_count"] == 1)


def test_processes_share_the_position_that_one_has_asked_for(make_worker, standby):
    first, second = make_worker(), make_worker()
    clients = first.test_client(), second.test_client()
    for client in clients:
        warm_up(client)
    add_book(clients[0])
    assert positions_asked(first, lambda: read(clients[0], new_path())) == 1
    assert positions_asked(first, lambda: read(clients[0], new_path())) == 0
    assert positions_asked(second, lambda: read(clients[1], new_path())) == 0


def test_without_a_position_the_primary_is_read(make_worker, primary):
    worker = make_worker()
    client = worker.test_client()
    book = add_book(client)
    with worker.app_context():
        engine = autocommit_engine()

    def make_invalid(_connection, _cursor, statement, parameters, *_):
        return statement.replace("pg_current_wal_insert_lsn", "unknown"), parameters

    event.listen(engine, "before_cursor_execute", make_invalid, retval=True)
    assert read(client, book)[1] == "failed"


def test_a_new_process_sees_what_was_changed_before_it_started_without_a_write(
    make_worker, client, primary, standby
):
    """As a migration changes rows: it deletes no versions, so the position in Redis is older."""
    book = add_book(client)
    warm_up(client)
    standby.pause_replay()
    run(primary, f"UPDATE book SET title = 'Emma II' WHERE id = {book.split('/')[-1]}")
    shown, outcome = read(make_worker().test_client(), book)
    assert (shown["title"], outcome) == ("Emma II", "behind")


def test_a_read_goes_on_at_the_primary_when_the_replica_is_lost_in_it(make_worker, standby):
    worker = make_worker()
    client = worker.test_client()
    book = add_book(client)
    warm_up(client)
    engine = replica_engine(worker)

    def end_connections(*call):
        if "FROM book" in call[2]:
            run(
                standby,
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE application_name = 'bookstall' AND pid <> pg_backend_pid()",
            )

    event.listen(engine, "before_cursor_execute", end_connections)
    shown, outcome = read(client, book)
    assert (shown["title"], outcome) == ("Emma", "failed")
    event.remove(engine, "before_cursor_execute", end_connections)
    warm_up(client)


def test_a_query_that_takes_too_long_on_the_replica_is_made_on_the_primary(
    make_worker, monkeypatch
):
    monkeypatch.setattr(replicas, "STATEMENT_SECONDS", 0.2)
    worker = make_worker()
    client = worker.test_client()
    book = add_book(client)
    warm_up(client)

    def wait(*call):
        if "FROM book" in call[2]:
            call[1].execute("SELECT pg_sleep(60)")

    event.listen(replica_engine(worker), "before_cursor_execute", wait)
    assert read(client, book)[1] == "failed"
    assert services_of(worker).cache.replica.breaker.closed, "other requests may use the replica"


def test_reads_survive_a_replica_that_stops_and_use_it_when_it_is_back(client, standby):
    book = add_book(client)
    standby.stop()
    try:
        assert read(client, book)[1] == "failed"
        assert read(client, new_path())[1] == "failed"
    finally:
        standby.start()
    warm_up(client)


def test_a_replica_that_hangs_costs_a_second(make_worker, standby, monkeypatch):
    monkeypatch.setattr(replicas, "MAX_SECONDS", MAX_SECONDS)
    worker = make_worker()
    client = worker.test_client()
    warm_up(client)

    def seconds_of_a_read():
        services_of(worker).cache.replica.breaker.record_success()  # as if nobody had tried yet
        began = time.monotonic()
        assert read(client, new_path())[1] == "failed"
        return time.monotonic() - began

    signal_all_processes(standby, signal.SIGSTOP)
    try:
        assert shortest(seconds_of_a_read, 3) < 3
    finally:
        signal_all_processes(standby, signal.SIGCONT)
    warm_up(client)


def test_a_replica_that_was_promoted_is_not_read_and_the_next_host_takes_its_place(
    make_worker, primary, standby, caplog
):
    with Standby(primary) as promoted:
        hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in (promoted, standby))
        url = f"//postgres:{primary.password}@/{NAME}?{hosts}&target_session_attrs=standby"
        client = make_worker(database_read_url=database_url(f"postgresql:{url}")).test_client()
        warm_up(client)
        promoted.promote()
        assert read(client, add_book(client))[1] == "failed"
        assert "leads to no replica of DATABASE_URL" in caplog.text
        warm_up(client)


def test_another_database_is_not_read(make_worker, primary, standby, caplog):
    client = make_worker(database_read_url=read_url(standby, OTHER)).test_client()
    book = add_book(client)
    assert read(client, book)[1] == "failed"
    assert "leads to no replica of DATABASE_URL" in caplog.text


def test_without_room_in_redis_for_the_version_of_the_writes_the_primary_is_read(
    make_worker, server
):
    client = make_worker(redis_url=patient(server.url)).test_client()
    wait_until(lambda: client.get(new_path()).headers["Cache-Status"] == STORED)
    assert client.post("/products", json={"sku": "L", "name": "L", "price": "1"}).status_code == 201
    execute(server, "CONFIG", "SET", "maxmemory", 1)
    before = outcomes()
    response = client.get(new_path())
    assert response.headers["Cache-Status"] == "bookstall; fwd=miss; detail=redis-full"
    assert outcomes() == {**before, "failed": before["failed"] + 1}


def test_readers_use_the_cache_while_the_primary_waits_for_a_standby_that_is_away(
    make_worker, primary, monkeypatch
):
    monkeypatch.setattr(runs, "USE_EVERY_SECONDS", 0.0)
    worker = make_worker()
    client = worker.test_client()
    book = add_book(client)
    wait_until(lambda: client.get(book).headers["Cache-Status"] == HIT)
    set_synchronous_standby(primary, "one that is away")
    try:
        services_of(worker).cache.lease.revoke()
        assert client.get(book).headers["Cache-Status"] == HIT
    finally:
        set_synchronous_standby(primary, "")


def set_synchronous_standby(primary, name):
    setting = "synchronous_standby_names"
    value = f'"{name}"' if name else ""
    primary.execute(f"ALTER SYSTEM SET {setting} = '{value}'")
    primary.execute("SELECT pg_reload_conf()")
    wait_until(lambda: primary.execute(f"SHOW {setting}") == value)


def replica_engine(worker):
    return services_of(worker).cache.replica.engine


def run(server, statement):
    """Run a statement in the database of the tests."""
    engine = replicas.create_engine(read_url(server), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
