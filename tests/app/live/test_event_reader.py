"""The reader of events: all, once, in order, while Redis and the database do what they like."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, Semaphore
from threading import Event as Sign
from typing import Any

import pytest
import redis
from flask import Flask
from sqlalchemy import event as listening
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine import autocommit_engine
from app.events import log as events
from app.events.log import Event, LogPosition
from app.events.stream import stream_commands, stream_key
from app.extensions import db
from app.live.event_reader import POLL_SECONDS, RECENT, EventReader
from app.services import services_of
from stack.servers import Postgres, Redis

BOOK = {"title": "Emma", "author": "Jane Austen"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
SOON = 0.4
"""Seconds in which an event comes through the stream, however busy the machine."""
AT_LAST = POLL_SECONDS + 1.0
"""Seconds in which it comes if no writer has told Redis of it."""


class Listener:
    """A reader, and what it has told."""

    def __init__(self, app: Flask) -> None:
        self.reader = EventReader(app, self.deliver, self.reset)
        self.changed = Condition()
        self.begun: list[tuple[LogPosition, list[Event]]] = []
        self.got: list[Event] = []
        self.portions = 0

    def deliver(self, found: Any) -> None:
        with self.changed:
            self.portions += 1
            self.got += found
            self.changed.notify_all()

    def reset(self, head: LogPosition, recent: Any) -> None:
        with self.changed:
            self.begun.append((head, list(recent)))
            self.got = []
            self.changed.notify_all()

    @property
    def positions(self) -> list[int]:
        return [event.position for event in self.got]

    def wait(self, holds: Callable[[], bool], seconds: float = 8.0) -> float:
        """Wait until ``holds``; return the seconds that it took."""
        began = time.monotonic()
        with self.changed:
            assert self.changed.wait_for(holds, seconds), (self.positions, self.begun)
        return time.monotonic() - began

    def wait_for(self, position: int, seconds: float = 8.0) -> float:
        return self.wait(lambda: bool(self.got) and self.got[-1].position >= position, seconds)


@pytest.fixture
def listen() -> Iterator[Callable[[Flask], Listener]]:
    """A factory of listeners that have begun."""
    running: list[Listener] = []

    def start(app: Flask) -> Listener:
        running.append(Listener(app))
        running[-1].reader.start()
        running[-1].wait(lambda: bool(running[-1].begun))
        return running[-1]

    yield start
    for listener in running:
        began = time.monotonic()
        listener.reader.stop()
        assert time.monotonic() - began < 1.4
        assert not listener.reader._thread.is_alive()


@pytest.fixture
def server() -> Iterator[Redis]:
    """A Redis of the test's own, to be ill-treated."""
    with Redis() as server:
        yield server


@pytest.fixture
def worker(make_app, sqlite_database, server) -> Flask:
    return make_app(sqlite_database, redis_url=server.url)


def write(app: Flask, topic: str = "t", *, silent: bool = False) -> Event:
    """Commit an event through the app; ``silent`` as a writer that dies after its commit."""
    with app.app_context():
        name, event = events.append(topic, {"topic": topic})
        db.session.commit()
    if not silent:
        announce(app, name, event)
    return event


def announce(app: Flask, name: str, event: Event) -> None:
    kept = services_of(app).cache
    if kept is not None:
        kept.responses.invalidate(["t"], stream_commands(name, event))


def review(app: Flask) -> None:
    client = app.test_client()
    if client.post("/books/1/reviews", json=REVIEW).status_code == 404:
        client.post("/books", json=BOOK)
        assert client.post("/books/1/reviews", json=REVIEW).status_code == 201


def name_of(app: Flask) -> str:
    with app.app_context():
        return events.head(autocommit_engine()).log


def ask(app: Flask, statement: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(statement))


def tell(server: Redis, *words: Any) -> Any:
    with redis.Redis.from_url(server.url) as connection:
        return connection.execute_command(*words)


def count_queries(app: Flask, hold: Callable[[], Any] = lambda: None) -> list[str]:
    """Count from now on what the database is asked; ``hold`` is called after each query."""
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)
        hold()

    with app.app_context():
        listening.listen(autocommit_engine(), "after_cursor_execute", note)
    return asked


def until(holds: Callable[[], bool], seconds: float = 8.0) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds
        time.sleep(0.01)


def at_the_stream(server: Redis, readers: int = 1) -> None:
    """Wait until so many readers wait at the stream."""
    with redis.Redis.from_url(server.url) as connection:
        until(lambda: connection.info("clients")["blocked_clients"] >= readers)


# Without Redis, on both databases


def test_it_begins_with_the_newest_events(app, listen):
    for _ in range(5):
        write(app)
    listener = listen(app)
    ((head, recent),) = listener.begun
    assert head[1:] == (5, 1)
    assert [event.position for event in recent] == [1, 2, 3, 4, 5]
    assert listener.got == []


def test_it_begins_with_a_thousand_at_most(app, listen):
    ask(
        app,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
        "INSERT INTO event SELECT i, 't', '{}', '2020-01-01 00:00:00' FROM n",
    )
    ((head, recent),) = listen(app).begun
    assert head[1:] == (1500, 1)
    assert [event.position for event in recent] == list(range(1501 - RECENT, 1501))


def test_reviews_of_many_writers_come_once_and_in_order(app, client, book, listen):
    books = [book() for _ in range(4)]
    listener = listen(app)

    def add(number: int) -> int:
        path = f"/books/{books[number % 4]}/reviews"
        return app.test_client().post(path, json=REVIEW).status_code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(add, range(200))) == {201}
    listener.wait_for(200)
    assert listener.positions == list(range(1, 201))
    assert len(listener.begun) == 1


def test_more_than_a_portion_comes_whole(app, listen):
    listener = listen(app)
    ask(
        app,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1234) "
        "INSERT INTO event SELECT i, 't', '{}', '2099-01-01 00:00:00' FROM n",
    )
    ask(app, "UPDATE event_head SET position = 1234")
    listener.reader.catch_up()
    assert listener.positions == list(range(1, 1235))


def test_what_is_committed_is_there_when_catching_up_returns(app, listen):
    listener = listen(app)
    for number in range(1, 20):
        write(app)
        listener.reader.catch_up()
        assert listener.positions[-1] == number


def test_a_hundred_that_catch_up_at_once_cost_a_few_queries(app):
    """The first one's query is held until all have come; it began too early for the others."""
    listener = Listener(app)
    listener.reader.catch_up()
    here, all_here = Semaphore(0), Sign()
    asked = count_queries(app, lambda: all_here.wait(5))

    def catch_up(_: int) -> None:
        here.release()
        listener.reader.catch_up()

    with ThreadPoolExecutor(100) as pool:
        done = [pool.submit(catch_up, n) for n in range(100)]
        for _ in done:
            assert here.acquire(timeout=5)
        all_here.set()
        for each in done:
            each.result()
    assert 2 <= len(asked) <= 4


def test_a_log_with_another_name_begins_anew(app, listen):
    listener = listen(app)
    write(app)
    listener.wait_for(1)
    ask(app, "UPDATE event_head SET log = 'feedfeedfeedfeed'")
    listener.wait(lambda: len(listener.begun) == 2)
    head, recent = listener.begun[1]
    assert head[:2] == ("feedfeedfeedfeed", 1)
    assert len(recent) == 1
    write(app)
    listener.wait_for(2)
    assert listener.positions == [2]


def test_emptied_tables_begin_anew(app, listen):
    listener = listen(app)
    write(app)
    listener.wait_for(1)
    for table in ("event", "event_head"):
        ask(app, f"DELETE FROM {table}")
    listener.wait(lambda: len(listener.begun) == 2)
    assert listener.begun[1][0][1:] == (0, 1)
    write(app)
    listener.wait_for(1)
    assert listener.positions == [1]


def test_who_slept_longer_than_events_are_kept_begins_anew(app, listen):
    listener = listen(app)
    write(app)
    listener.wait_for(1)
    ask(app, "UPDATE event_head SET position = 7")
    listener.wait(lambda: len(listener.begun) == 2)
    assert listener.begun[1][0].position == 7


def test_a_failing_listener_does_not_stop_the_reader(app, listen):
    listener = listen(app)
    deliver, failing = listener.reader._deliver, [True]

    def fail(found: Any) -> None:
        if failing:
            failing.clear()
            raise RuntimeError("a bug")
        deliver(found)

    listener.reader._deliver = fail
    write(app)
    until(lambda: not failing)
    write(app)
    listener.wait_for(2)
    assert listener.positions == [2]


def test_a_database_that_comes_back_is_read_again(make_app, migrate, listen, caplog):
    caplog.set_level("INFO", "app.live")
    with Postgres() as postgres:
        migrate(postgres.url)
        app = make_app(postgres.url)
        listener = listen(app)
        write(app)
        listener.wait_for(1)
        postgres.kill()
        until(lambda: "the database is away" in caplog.text)
        with pytest.raises(SQLAlchemyError):
            listener.reader.catch_up()
        postgres.start()
        until(lambda: "read again" in caplog.text)
        assert caplog.text.count("the database is away") == 1
        until(lambda: answers(lambda: write(app)))
        listener.wait_for(2)
        assert listener.positions == [1, 2]
        assert len(listener.begun) == 1


def answers(call: Callable[[], Any]) -> bool:
    try:
        call()
    except SQLAlchemyError:
        return False
    return True


def test_a_database_that_is_away_at_the_beginning_is_waited_for(make_app, migrate):
    with Postgres() as postgres:
        migrate(postgres.url)
        app = make_app(postgres.url)
        postgres.kill()
        listener = Listener(app)
        listener.reader.start()
        with pytest.raises(SQLAlchemyError):
            listener.reader.catch_up()
        assert listener.begun == []
        postgres.start()
        listener.wait(lambda: bool(listener.begun))
        listener.reader.stop()


# With Redis


def test_events_come_through_the_stream_and_cost_no_query(worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)
    for number in range(1, 4):
        write(worker)
        assert listener.wait_for(number) < SOON
    at_the_stream(server)
    listener.reader.catch_up()
    asked = count_queries(worker)
    name = name_of(worker)
    asked.clear()
    for number in range(4, 50):
        announce(worker, name, Event(number, "t", b"{}"))
    listener.wait(lambda: listener.positions == list(range(1, 50)), 0.9)
    assert len(asked) <= 2


def test_what_the_stream_tells_in_reverse_comes_in_order(worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)
    name = name_of(worker)
    written = [write(worker, silent=True) for _ in range(5)]
    for event in reversed(written):
        announce(worker, name, event)
    assert listener.wait_for(5) < SOON
    for _ in range(3):
        write(worker)
    listener.wait_for(8)
    assert listener.positions == list(range(1, 9))


def test_what_no_writer_told_redis_comes_within_about_a_second(worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)
    write(worker, silent=True)
    assert listener.wait_for(1) < AT_LAST
    write(worker, silent=True)
    write(worker)
    assert listener.wait_for(3) < SOON
    assert listener.positions == [1, 2, 3]


def test_a_reader_without_redis_and_one_with_it_tell_the_same(
    worker, make_app, sqlite_database, listen
):
    listeners = [listen(worker), listen(make_app(sqlite_database))]
    for _ in range(20):
        review(worker)
    for listener in listeners:
        listener.wait_for(20)
    assert listeners[0].got == listeners[1].got


def dead(server: Redis) -> Iterator[None]:
    server.kill()
    yield
    server.start()


def frozen(server: Redis) -> Iterator[None]:
    server.freeze()
    yield
    server.thaw()


def restarted_empty(server: Redis) -> Iterator[None]:
    server.save()
    yield
    server.kill()
    server.wipe()
    server.start()


def restarted_with_its_old_memory(server: Redis) -> Iterator[None]:
    server.save()
    yield
    server.kill()
    server.start()


def full(server: Redis) -> Iterator[None]:
    tell(server, "CONFIG", "SET", "maxmemory", "1")
    yield
    tell(server, "CONFIG", "SET", "maxmemory", "0")


def refusing(server: Redis) -> Iterator[None]:
    with redis.Redis.from_url(server.url, single_connection_client=True) as connection:
        connection.config_set("requirepass", "another")
        connection.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        yield
        connection.config_set("requirepass", server.password)


def flushed(server: Redis) -> Iterator[None]:
    tell(server, "FLUSHALL")
    yield
    tell(server, "FLUSHALL")


def cut(server: Redis) -> Iterator[None]:
    tell(server, "CLIENT", "KILL", "TYPE", "normal")
    yield
    tell(server, "CLIENT", "KILL", "TYPE", "normal")


def of_another_type(server: Redis) -> Iterator[None]:
    (key,) = tell(server, "KEYS", "bookstall:*:events")
    tell(server, "DEL", key)
    tell(server, "SET", key, "rubbish")
    yield
    tell(server, "DEL", key)


WOES = [
    dead,
    frozen,
    restarted_empty,
    restarted_with_its_old_memory,
    full,
    refusing,
    flushed,
    cut,
    of_another_type,
]


@pytest.mark.parametrize("woe", WOES)
def test_whatever_becomes_of_redis_all_come_once_and_in_order(woe, worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)
    for _ in range(3):
        review(worker)
    listener.wait_for(3)
    course = woe(server)
    next(course)
    for number in range(4, 9):
        review(worker)
        assert listener.wait_for(number) < AT_LAST
    for _ in range(3):
        review(worker)
    next(course, None)
    for _ in range(3):
        review(worker)
    listener.wait_for(14)
    at_the_stream(server)
    until(services_of(worker).redis.breaker.allow_request)
    for _ in range(3):
        review(worker)
    listener.wait_for(17)
    assert listener.positions == list(range(1, 18))
    assert len(listener.begun) == 1


def test_while_redis_is_away_events_come_from_the_database_at_once(worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)
    server.freeze()
    try:
        write(worker, silent=True)
        listener.wait_for(1)
        for number in range(2, 12):
            write(worker, silent=True)
            assert listener.wait_for(number) < SOON
    finally:
        server.thaw()
    at_the_stream(server)
    write(worker)
    assert listener.wait_for(12) < SOON


def test_two_databases_on_one_redis_do_not_mix(
    make_app, sqlite_database, postgres_database, server, listen
):
    urls = (sqlite_database, postgres_database)
    apps = [make_app(url, redis_url=server.url) for url in urls]
    listeners = [listen(app) for app in apps]
    at_the_stream(server, 2)
    for number in range(1, 6):
        for app, topic in zip(apps, "ab", strict=True):
            write(app, topic)
        for listener in listeners:
            listener.wait_for(number)
    for listener, topic in zip(listeners, "ab", strict=True):
        assert {event.topic for event in listener.got} == {topic}


def test_rubbish_in_the_stream_is_neither_told_nor_in_the_way(worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)
    key = stream_key(name_of(worker))
    for words in (("1-0", "x", "y"), ("0-7", "t", "t", "p", "p"), ("9-9", "x", "y")):
        tell(server, "DEL", key)
        tell(server, "XADD", key, *words)
        until(lambda: not tell(server, "EXISTS", key))
    tell(server, "XADD", key, "7-0", "t", "t", "p", "p")
    until(lambda: not tell(server, "EXISTS", key))
    at_the_stream(server)
    write(worker)
    assert listener.wait_for(1) < SOON
    assert listener.positions == [1]


def test_a_database_that_was_brought_back_to_before_is_believed_not_the_stream(
    worker, server, listen
):
    listener = listen(worker)
    at_the_stream(server)
    for _ in range(5):
        write(worker, "lost")
    listener.wait_for(5)
    ask(worker, "DELETE FROM event WHERE position > 2")
    ask(worker, "UPDATE event_head SET position = 2")
    listener.wait(lambda: len(listener.begun) == 2)
    until(lambda: not tell(server, "EXISTS", stream_key(name_of(worker))))
    late = listen(worker)
    for _ in range(2):
        write(worker, "kept")
    for each in (listener, late):
        each.wait_for(4)
        assert [(event.position, event.topic) for event in each.got] == [(3, "kept"), (4, "kept")]


def test_a_reader_that_begins_does_not_believe_a_stream_that_knows_more(worker, server, listen):
    write(worker, "kept")
    for position in range(2, 5):
        announce(worker, name_of(worker), Event(position, "lost", b"{}"))
    listener = listen(worker)
    at_the_stream(server)
    write(worker, "kept")
    listener.wait_for(2)
    assert [event.topic for event in listener.got] == ["kept"]
    assert len(listener.begun) == 1


def test_a_log_with_another_name_is_followed_in_its_own_stream(worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)
    write(worker)
    listener.wait_for(1)
    ask(worker, "UPDATE event_head SET log = 'feedfeedfeedfeed'")
    listener.wait(lambda: len(listener.begun) == 2, AT_LAST)
    at_the_stream(server)
    write(worker)
    assert listener.wait_for(2) < SOON


def test_stream_and_many_that_catch_up_never_repeat_or_interleave(worker, server, listen):
    listener = listen(worker)
    at_the_stream(server)

    def write_and_catch_up(_: int) -> int:
        position = write(worker).position
        listener.reader.catch_up()
        return position

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write_and_catch_up, range(200))) == list(range(1, 201))
    assert listener.positions == list(range(1, 201))
