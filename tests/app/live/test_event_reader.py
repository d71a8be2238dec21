"""The event reader without Redis: every event once, in order, from the database."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Event as ThreadEvent
from threading import Semaphore
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from app import single_flight
from app.config import THREADS
from app.live.event_reader import JOIN_TIMEOUT_SECONDS
from app.live.hub import RING_SIZE
from stack.servers import Postgres
from tests.app.live.event_listener import (
    BOOK,
    REVIEW,
    Listener,
    execute_sql,
    record_queries,
    write_event,
    write_events,
)
from tests.waiting import PATIENCE, served, shortest, wait_until


def test_the_first_reset_has_the_newest_events(app, listen):
    for _ in range(5):
        write_event(app)
    listener = listen(app)
    ((head, recent),) = listener.resets
    assert head[1:] == (5, 1)
    assert [event.position for event in recent] == [1, 2, 3, 4, 5]
    assert listener.events == []


def test_the_first_reset_has_at_most_a_thousand_events(app, listen):
    write_events(app, 1_500)
    ((head, recent),) = listen(app).resets
    assert head[1:] == (1500, 1)
    assert [event.position for event in recent] == list(range(1501 - RING_SIZE, 1501))


def test_reviews_of_many_writers_arrive_once_and_in_order(app, client, listen):
    books = [client.post("/books", json=BOOK).json["id"] for _ in range(4)]
    listener = listen(app)

    def add(number: int) -> int:
        path = f"/books/{books[number % 4]}/reviews"
        send = partial(app.test_client().post, path, json=REVIEW)
        return int(served(send).status_code)

    with ThreadPoolExecutor(THREADS) as pool:  # as many as a process has
        assert set(pool.map(add, range(200))) == {201}
    listener.wait_for(204)  # after those of the books
    assert listener.positions == list(range(5, 205))
    assert len(listener.resets) == 1


def test_more_events_than_one_page_are_all_delivered(app, listen):
    listener = listen(app)
    write_events(app, 1_234)
    listener.reader.catch_up()
    assert listener.positions == list(range(1, 1235))


def test_catch_up_delivers_everything_committed_before_it(app, listen):
    listener = listen(app)
    for number in range(1, 20):
        write_event(app)
        listener.reader.catch_up()
        assert listener.positions[-1] == number


def test_a_hundred_simultaneous_catch_ups_cost_a_few_queries(app, monkeypatch):
    """The first query is delayed until all have called; it began too early for the others."""
    monkeypatch.setattr(single_flight, "WAIT_SECONDS", PATIENCE)
    listener = Listener(app)
    listener.reader.catch_up()
    here, all_here = Semaphore(0), ThreadEvent()
    queries = record_queries(app, lambda: all_here.wait(PATIENCE))

    def catch_up(_: int) -> None:
        here.release()
        listener.reader.catch_up()

    with ThreadPoolExecutor(100) as pool:
        done = [pool.submit(catch_up, n) for n in range(100)]
        for _ in done:
            assert here.acquire(timeout=PATIENCE)
        all_here.set()
        for each in done:
            each.result()
    assert 2 <= len(queries) < 25  # also if some threads are late


def test_a_reader_ends_soon(app):
    def seconds_to_stop() -> float:
        listener = Listener(app)
        listener.reader.start()
        listener.wait(lambda: bool(listener.resets))
        began = time.monotonic()
        listener.reader.stop()
        return time.monotonic() - began

    assert shortest(seconds_to_stop, 1) < JOIN_TIMEOUT_SECONDS


def test_a_log_with_another_name_causes_a_reset(app, listen):
    listener = listen(app)
    write_event(app)
    listener.wait_for(1)
    execute_sql(app, "UPDATE event_head SET log = 'feedfeedfeedfeed'")
    listener.wait(lambda: len(listener.resets) == 2)
    head, recent = listener.resets[1]
    assert head[:2] == ("feedfeedfeedfeed", 1)
    assert len(recent) == 1
    write_event(app)
    listener.wait_for(2)
    assert listener.positions == [2]


def test_emptied_tables_cause_a_reset(app, listen):
    listener = listen(app)
    write_event(app)
    listener.wait_for(1)
    for table in ("event", "event_head"):
        execute_sql(app, f"DELETE FROM {table}")
    listener.wait(lambda: len(listener.resets) == 2)
    assert listener.resets[1][0][1:] == (0, 1)
    write_event(app)
    listener.wait_for(1)
    assert listener.positions == [1]


def test_a_reader_behind_the_oldest_stored_event_is_reset(app, listen):
    listener = listen(app)
    write_event(app)
    listener.wait_for(1)
    execute_sql(app, "UPDATE event_head SET position = 7")
    listener.wait(lambda: len(listener.resets) == 2)
    assert listener.resets[1][0].position == 7


def test_a_failing_callback_does_not_stop_the_reader(app, listen):
    listener = listen(app)
    listener.fail_once = True
    write_event(app)
    wait_until(lambda: not listener.fail_once)
    write_event(app)
    listener.wait_for(2)
    assert listener.positions == [2]


def test_a_database_that_is_available_again_is_read_again(make_app, migrate, listen, caplog):
    caplog.set_level("INFO", "app.live")
    with Postgres() as postgres:
        migrate(postgres.url)
        app = make_app(postgres.url)
        listener = listen(app)
        write_event(app)
        listener.wait_for(1)
        postgres.kill()
        wait_until(lambda: "the database is unavailable" in caplog.text)
        with pytest.raises(SQLAlchemyError):
            listener.reader.catch_up()
        postgres.start()
        wait_until(lambda: "read again" in caplog.text)
        assert caplog.text.count("the database is unavailable") == 1
        wait_until(lambda: is_available(lambda: write_event(app)))
        listener.wait_for(2)
        assert listener.positions == [1, 2]
        assert len(listener.resets) == 1


def is_available(call: Callable[[], Any]) -> bool:
    try:
        call()
    except SQLAlchemyError:
        return False
    return True


def test_the_reader_waits_for_a_database_that_is_unavailable_at_the_start(make_app, migrate):
    with Postgres() as postgres:
        migrate(postgres.url)
        app = make_app(postgres.url)
        postgres.kill()
        listener = Listener(app)
        listener.reader.start()
        with pytest.raises(SQLAlchemyError):
            listener.reader.catch_up()
        assert listener.resets == []
        postgres.start()
        listener.wait(lambda: bool(listener.resets))
        listener.reader.stop()
