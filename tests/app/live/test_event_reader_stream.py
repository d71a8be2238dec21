"""The event reader with Redis: events arrive through the stream, gaps come from the database."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from app.events import stream
from app.events.stream import stream_key
from app.live import event_reader
from tests.app.live.event_listener import (
    DATABASE_SECONDS,
    add_review,
    announce,
    execute_redis,
    execute_sql,
    log_name,
    new_event,
    record_queries,
    wait_for_blocked,
    write_event,
)
from tests.waiting import PATIENCE, patient, shortest, wait_until


@pytest.fixture(autouse=True)
def patient_reader(monkeypatch):
    """The reader waits for Redis however busy the machine is."""
    monkeypatch.setattr(stream, "TIMEOUT_SECONDS", PATIENCE)


@pytest.fixture
def worker(make_app, sqlite_database, redis_server):
    return make_app(sqlite_database, redis_url=patient(redis_server.url))


@pytest.fixture
def without_polls(monkeypatch):
    """Call it to let events arrive through the stream only: the database is not read any more."""
    return lambda: monkeypatch.setattr(event_reader, "POLL_SECONDS", 10 * PATIENCE)


def test_events_arrive_through_the_stream_and_cost_no_query(
    worker, redis_server, listen, without_polls
):
    without_polls()
    listener = listen(worker)
    wait_for_blocked(redis_server)
    for number in range(1, 4):
        write_event(worker)
        listener.wait_for(number)
    wait_for_blocked(redis_server)
    listener.reader.catch_up()
    queries = record_queries(worker)
    name = log_name(worker)
    queries.clear()
    for number in range(4, 50):
        announce(worker, name, new_event(number))
    listener.wait(lambda: listener.positions == list(range(1, 50)))
    assert queries == []


def test_events_in_reverse_order_in_the_stream_are_delivered_in_order(
    worker, redis_server, listen, without_polls
):
    without_polls()
    listener = listen(worker)
    wait_for_blocked(redis_server)
    name = log_name(worker)
    written = [write_event(worker, silent=True) for _ in range(5)]
    for event in reversed(written):
        announce(worker, name, event)
    listener.wait_for(5)
    for _ in range(3):
        write_event(worker)
    listener.wait_for(8)
    assert listener.positions == list(range(1, 9))


def test_events_that_never_reached_redis_arrive_within_about_a_second(
    worker, redis_server, listen, without_polls
):
    listener = listen(worker)
    wait_for_blocked(redis_server)

    def write_and_wait() -> float:
        return listener.wait_for(write_event(worker, silent=True).position)

    assert shortest(write_and_wait, DATABASE_SECONDS) < DATABASE_SECONDS
    without_polls()
    write_event(worker, silent=True)
    last = write_event(worker).position
    listener.wait_for(last)
    assert listener.positions == list(range(1, last + 1))


def test_readers_with_and_without_redis_deliver_the_same(worker, make_app, sqlite_database, listen):
    listeners = [listen(worker), listen(make_app(sqlite_database))]
    for _ in range(20):
        add_review(worker)
    for listener in listeners:
        listener.wait_for(20)
    assert listeners[0].events == listeners[1].events


def test_two_databases_on_one_redis_do_not_mix(
    make_app, sqlite_database, postgres_database, redis_server, listen
):
    urls = (sqlite_database, postgres_database)
    apps = [make_app(url, redis_url=patient(redis_server.url)) for url in urls]
    listeners = [listen(app) for app in apps]
    wait_for_blocked(redis_server, 2)
    for number in range(1, 6):
        for app, topic in zip(apps, "ab", strict=True):
            write_event(app, topic)
        for listener in listeners:
            listener.wait_for(number)
    for listener, topic in zip(listeners, "ab", strict=True):
        assert {event.topic for event in listener.events} == {topic}


def test_foreign_entries_in_the_stream_are_deleted(worker, redis_server, listen, without_polls):
    without_polls()
    listener = listen(worker)
    wait_for_blocked(redis_server)
    key = stream_key(log_name(worker))
    for entry in (("1-0", "x", "y"), ("0-7", "t", "t", "p", "p"), ("9-9", "x", "y")):
        execute_redis(redis_server, "DEL", key)
        execute_redis(redis_server, "XADD", key, *entry)
        wait_until(lambda: not execute_redis(redis_server, "EXISTS", key))
    execute_redis(redis_server, "XADD", key, "7-0", "t", "t", "p", "p")
    wait_until(lambda: not execute_redis(redis_server, "EXISTS", key))
    wait_for_blocked(redis_server)
    write_event(worker)
    listener.wait_for(1)
    assert listener.positions == [1]


def test_a_stream_that_is_ahead_of_a_restored_database_is_deleted(worker, redis_server, listen):
    listener = listen(worker)
    wait_for_blocked(redis_server)
    for _ in range(5):
        write_event(worker, "lost")
    listener.wait_for(5)
    execute_sql(worker, "DELETE FROM event WHERE position > 2")
    execute_sql(worker, "UPDATE event_head SET position = 2")
    listener.wait(lambda: len(listener.resets) == 2)
    wait_until(lambda: not execute_redis(redis_server, "EXISTS", stream_key(log_name(worker))))
    late = listen(worker)
    for _ in range(2):
        write_event(worker, "kept")
    for each in (listener, late):
        each.wait_for(4)
        assert [(event.position, event.topic) for event in each.events] == [
            (3, "kept"),
            (4, "kept"),
        ]


def test_a_new_reader_ignores_a_stream_that_is_ahead_of_the_database(worker, redis_server, listen):
    write_event(worker, "kept")
    for position in range(2, 5):
        announce(worker, log_name(worker), new_event(position, "lost"))
    listener = listen(worker)
    wait_for_blocked(redis_server)
    write_event(worker, "kept")
    listener.wait_for(2)
    assert [event.topic for event in listener.events] == ["kept"]
    assert len(listener.resets) == 1


def test_a_log_with_another_name_is_followed_in_its_own_stream(
    worker, redis_server, listen, without_polls
):
    listener = listen(worker)
    wait_for_blocked(redis_server)
    write_event(worker)
    listener.wait_for(1)
    execute_sql(worker, "UPDATE event_head SET log = 'feedfeedfeedfeed'")
    listener.wait(lambda: len(listener.resets) == 2)
    without_polls()
    wait_for_blocked(redis_server)
    write_event(worker)
    listener.wait_for(2)


def test_the_stream_and_simultaneous_catch_ups_neither_repeat_nor_reorder_events(
    worker, redis_server, listen
):
    listener = listen(worker)
    wait_for_blocked(redis_server)

    def write_and_catch_up(_: int) -> int:
        position = write_event(worker).position
        listener.reader.catch_up()
        return position

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write_and_catch_up, range(200))) == list(range(1, 201))
    assert listener.positions == list(range(1, 201))
