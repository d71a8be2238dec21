"""The log of events: in commit order, without gaps, kept for a day, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import orjson
import pytest
import redis
from flask import Flask
from sqlalchemy import event, text

from app.db.engine import unbegun
from app.events import log as events
from app.events.log import PURGE_EVERY, PURGED_AT_ONCE, Cursor, Event, Head, WindowPassed
from app.extensions import db
from stack.servers import Redis

BOOK = {"title": "Emma", "author": "Jane Austen"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
ALL = 2**62
YESTERDAY = "2020-01-01 00:00:00"


def engine_of(app: Flask) -> Any:
    with app.app_context():
        return unbegun()


def head(app: Flask) -> Head:
    return events.head(engine_of(app))


def log(app: Flask, topic: str | None = None) -> list[Event]:
    """Read everything that is kept."""
    engine = engine_of(app)
    stands = events.head(engine)
    return events.after(engine, Cursor(stands.log, stands.oldest - 1), ALL, topic, ALL)


def write(app: Flask, topic: str = "t", **payload: Any) -> Event:
    """Commit an event and nothing else."""
    with app.app_context():
        _, event = events.append(topic, payload)
        db.session.commit()
        events.purge_now_and_then(unbegun(), event.position)
    return event


def ask(app: Flask, statement: str) -> None:
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text(statement))


def post(app: Flask, book: int, **headers: str) -> Any:
    answer = app.test_client().post(f"/books/{book}/reviews", json=REVIEW, headers=headers)
    assert answer.status_code == 201
    return answer


def test_a_review_is_told_as_the_api_shows_it(app, book):
    emma = book()
    review = post(app, emma).json
    (event,) = log(app)
    assert (event.position, event.topic) == (1, f"book:{emma}:reviews")
    assert orjson.loads(event.payload) == review


def test_other_writes_and_refused_ones_tell_nothing(app, client, book):
    book()
    assert client.post("/books/99/reviews", json=REVIEW).status_code == 404
    assert client.post("/products", json={"sku": "a", "name": "b", "price": 1}).status_code == 201
    assert log(app) == []
    assert head(app)[1:] == (0, 1)


def test_a_write_that_is_sent_again_is_told_once(app, client, book):
    emma = book()
    answers = [post(app, emma, **{"Idempotency-Key": "k"}) for _ in range(3)]
    assert len({answer.data for answer in answers}) == 1
    assert [event.position for event in log(app)] == [1]


def test_two_hundred_reviews_of_twenty_threads_have_two_hundred_positions(app, book):
    books = [book() for _ in range(4)]
    with ThreadPoolExecutor(20) as pool:
        told = list(pool.map(lambda n: post(app, books[n % 4]).json, range(200)))
    found = log(app)
    assert [event.position for event in found] == list(range(1, 201))
    assert head(app)[1:] == (200, 1)
    payloads = [orjson.loads(event.payload) for event in found]
    assert sorted(p["id"] for p in payloads) == sorted(review["id"] for review in told)


def test_who_comes_second_waits_and_has_the_next_position(make_app, postgres_database):
    """The first has its position, and has not committed: nobody may see a later one before."""
    app = make_app(postgres_database)
    head(app)
    with app.app_context():
        events.append("first", {})
        second = Thread(target=write, args=(app, "second"))
        second.start()
        second.join(0.3)
        assert second.is_alive()
        assert log(app) == []
        db.session.commit()
    second.join(5)
    assert [(event.position, event.topic) for event in log(app)] == [(1, "first"), (2, "second")]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_an_aborted_write_leaves_no_gap(kind, request, make_app):
    app = make_app(request.getfixturevalue(f"{kind}_database"))
    write(app, "first")
    with app.app_context():
        events.append("aborted", {})
        second = Thread(target=write, args=(app, "second"))
        second.start()
        db.session.rollback()
    second.join(10)
    assert [(event.position, event.topic) for event in log(app)] == [(1, "first"), (2, "second")]


def test_the_place_is_taken_in_the_last_step_even_with_a_key(make_app, postgres_database):
    """While the answer is kept for its Idempotency-Key, no other event has to wait."""
    app = make_app(postgres_database)
    book = app.test_client().post("/books", json=BOOK).json["id"]
    head(app)
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(" ".join(statement.split()[:3]))

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", note)
    post(app, book, **{"Idempotency-Key": "k"})
    place = asked.index("UPDATE event_head SET")
    assert place > asked.index("UPDATE first_answer SET")
    assert asked[place + 1] == "INSERT INTO event"


def test_events_of_one_topic_and_in_portions(app):
    for number in range(6):
        write(app, f"t{number % 2}", number=number)
    engine, name = engine_of(app), head(app).log
    assert [event.position for event in log(app, "t1")] == [2, 4, 6]
    some = events.after(engine, Cursor(name, 1), 5, limit=3)
    assert [event.position for event in some] == [2, 3, 4]
    assert events.after(engine, Cursor(name, 6), 6) == []
    assert [event.position for event in events.newest(engine, 5, 2)] == [4, 5]


def test_a_cursor_of_another_log_or_of_the_future_is_refused(app):
    write(app)
    engine, name = engine_of(app), head(app).log
    for cursor in (Cursor(events.new_log(), 0), Cursor(name, 2)):
        with pytest.raises(WindowPassed):
            events.after(engine, cursor, ALL)


def test_after_a_day_the_oldest_go_and_what_is_kept_has_no_gaps(app):
    for _ in range(25):
        write(app)
    ask(app, f"UPDATE event SET created_at = '{YESTERDAY}' WHERE position <= 12 OR position = 20")
    engine, name = engine_of(app), head(app).log
    for _ in range(PURGE_EVERY):
        write(app)
    assert [event.position for event in log(app)] == list(range(13, 36))
    assert head(app) == (name, 35, 13)
    assert events.after(engine, Cursor(name, 12), 13)[0].position == 13
    with pytest.raises(WindowPassed):
        events.after(engine, Cursor(name, 11), 13, topic="t")
    # A clock that was wrong once keeps what follows, and for as long as that is young.
    assert log(app)[7].position == 20


def test_many_old_ones_go_in_portions_and_the_newest_stays(app):
    ask(
        app,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) "
        f"INSERT INTO event SELECT i, 't', '{{}}', '{YESTERDAY}' FROM n",
    )
    name = head(app).log  # made here, on top of what is there
    assert head(app) == (name, 250, 1)
    engine = engine_of(app)
    left = []
    for _ in range(4):
        events.purge_now_and_then(engine, PURGE_EVERY)
        left.append(head(app).oldest)
    assert left == [1 + PURGED_AT_ONCE, 1 + 2 * PURGED_AT_ONCE, 250, 250]


def test_within_the_day_events_are_kept(app):
    for _ in range(3):
        write(app)
    moment = "datetime('now', '-86000 seconds')"
    if "postgresql" in app.config["SQLALCHEMY_DATABASE_URI"]:
        moment = "now() - interval '86000 seconds'"
    ask(app, f"UPDATE event SET created_at = {moment}")
    events.purge_now_and_then(engine_of(app), PURGE_EVERY)
    assert head(app).oldest == 1


def test_a_log_without_a_name_gets_one_from_all_at_once(app):
    write(app)
    before = head(app).log
    ask(app, "DELETE FROM event_head")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: write(app) if n % 2 else head(app), range(16)))
    names = {found[n].log for n in range(0, 16, 2)}
    assert len(names) == 1
    assert before not in names
    assert [event.position for event in log(app)] == list(range(1, 10))


def test_a_migrated_database_has_a_log_of_its_own(make_app, migrated_by, tmp_path):
    names = set()
    for number in range(2):
        url = f"sqlite:///{tmp_path}/{number}.db"
        migrated_by(url)
        app = make_app(url)
        with app.app_context(), db.engine.connect() as connection:
            names.add(connection.execute(text("SELECT log FROM event_head")).scalar_one())
    assert len(names) == 2


@pytest.mark.parametrize("position", [0, 1, 10, 2**63 - 1])
def test_a_cursor_is_read_as_it_was_written(position):
    name = events.new_log()
    written = events.cursor_of(name, position)
    assert events.read_cursor(written) == (name, position)


NAME = "0123456789abcdef"
WRONG = ["", "-", NAME, f"{NAME}-", f"{NAME}-01", f"{NAME}--1", f"{NAME}-+1", f"{NAME}-1 "]
WRONG += [f"{NAME}-1\n", f"{NAME.upper()}-1", f"{NAME[1:]}-1", f"{NAME}0-1", f"{NAME}-1_0"]
WRONG += [f"{NAME}-{2**63}", f"{NAME}-{'9' * 5_000}", f"{NAME}-\u0661"]


@pytest.mark.parametrize("wrong", WRONG)
def test_anything_else_is_no_cursor(wrong):
    with pytest.raises(ValueError, match="not a cursor"):
        events.read_cursor(wrong)


@pytest.fixture
def worker(make_app, sqlite_database, redis_url) -> Flask:
    return make_app(sqlite_database, redis_url=redis_url)


def stream_of(url: str, app: Flask) -> list[Any]:
    with redis.Redis.from_url(url) as connection:
        return list(connection.xrange(events.stream_key(head(app).log)))


def test_the_stream_has_the_events_under_their_positions(worker, redis_url):
    book = worker.test_client().post("/books", json=BOOK).json["id"]
    post(worker, book)
    post(worker, book, **{"Idempotency-Key": "k"})
    expected = [
        (b"%d-0" % event.position, {b"t": event.topic.encode(), b"p": event.payload})
        for event in log(worker)
    ]
    assert stream_of(redis_url, worker) == expected
    assert len(expected) == 2


def test_a_stream_that_refuses_does_not_hold_the_invalidation_back(worker, redis_url):
    client = worker.test_client()
    book = client.post("/books", json=BOOK).json["id"]
    with redis.Redis.from_url(redis_url) as connection:
        connection.xadd(events.stream_key(head(worker).log), {"t": "x", "p": "x"}, id="99-0")
    assert client.get(f"/books/{book}").json["review_count"] == 0
    post(worker, book)
    assert client.get(f"/books/{book}").json["review_count"] == 1
    assert len(stream_of(redis_url, worker)) == 1
    with worker.app_context(), db.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM outbox")).scalar_one() == 0


def test_a_full_redis_hears_the_invalidation_and_not_the_event(make_app, sqlite_database):
    with Redis() as server, redis.Redis.from_url(server.url) as connection:
        app = make_app(sqlite_database, redis_url=server.url)
        client = app.test_client()
        book = client.post("/books", json=BOOK).json["id"]
        connection.config_set("maxmemory", "1")
        assert client.get(f"/books/{book}").json["review_count"] == 0
        post(app, book)
        assert client.get(f"/books/{book}").json["review_count"] == 1
        assert stream_of(server.url, app) == []
        assert len(log(app)) == 1


def test_the_stream_is_bounded_and_does_not_stay_for_ever(worker, redis_url):
    name = head(worker).log
    with redis.Redis.from_url(redis_url) as connection:
        for position in range(1, 3 * events.STREAM_MAX):
            for command in events.announcement(name, Event(position, "t", b"{}")):
                connection.execute_command(*command)
        length = connection.xlen(events.stream_key(name))
        assert events.STREAM_MAX <= length < 2 * events.STREAM_MAX
        assert 0 < connection.ttl(events.stream_key(name)) <= events.STREAM_SECONDS
