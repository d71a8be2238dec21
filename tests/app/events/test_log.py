"""The event log: in commit order and without gaps, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Thread
from typing import Any

import orjson
import pytest
from sqlalchemy import event, text

from app.errors import WindowPassed
from app.events import log
from app.events.log import Cursor, NewEvent
from app.extensions import db
from tests.app.events.steps import (
    BOOK,
    REVIEW,
    UNLIMITED,
    engine_of,
    execute,
    head,
    post_review,
    read_all,
    until_committed,
    write,
)
from tests.waiting import PATIENCE


def test_the_data_of_an_event_is_what_the_api_shows(app, book):
    emma = book(title="Emma")
    review = post_review(app, emma).json
    event = read_all(app)[-1]
    assert (event.type, event.topic) == ("review.created", f"book:{emma}:reviews")
    assert datetime.fromisoformat(event.at) >= datetime.fromisoformat(review["created_at"])
    assert orjson.loads(event.data) == review
    assert orjson.loads(event.context) == {"book_title": "Emma"}


def test_a_rejected_write_appends_no_event(app, client):
    assert client.post("/books/99/reviews", json=REVIEW).status_code == 404
    assert read_all(app) == []
    assert head(app)[1:] == (0, 1)


def test_a_repeated_request_appends_one_event(app, book):
    emma = book()
    responses = [post_review(app, emma, **{"Idempotency-Key": "k"}) for _ in range(3)]
    assert len({response.data for response in responses}) == 1
    assert [event.type for event in read_all(app)].count("review.created") == 1


def test_two_hundred_reviews_of_ten_threads_have_two_hundred_positions(app, book):
    books = [book() for _ in range(4)]

    def post(number):
        return post_review(app, books[number % 4]).json

    with ThreadPoolExecutor(10) as pool:  # each has a connection of the pool
        reviews = list(pool.map(post, range(200)))
    events = read_all(app)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert head(app)[1:] == (len(events), 1)
    created = [orjson.loads(event.data) for event in events if event.type == "review.created"]
    assert sorted(data["id"] for data in created) == sorted(review["id"] for review in reviews)


def test_a_writer_does_not_wait_for_another_one(make_app, postgres_database):
    """The first has not committed: its event gets its position after that of the second."""
    app = make_app(postgres_database)
    head(app)
    with app.app_context():
        log.append([NewEvent("review.created", "first", {})])
        second = Thread(target=write, args=(app, "second"))
        second.start()
        second.join(PATIENCE)
        assert [(event.position, event.topic) for event in read_all(app)] == [(1, "second")]
        db.session.commit()
    assert [(event.position, event.topic) for event in read_all(app)] == [
        (1, "second"),
        (2, "first"),
    ]


def test_events_of_one_row_are_in_the_order_of_its_changes(make_app, postgres_database):
    """Also if the transaction that changes it first began last, and numbers are given meanwhile."""
    app = make_app(postgres_database)
    name = head(app).log
    execute(app, "DROP TABLE IF EXISTS counter")
    execute(app, "CREATE TABLE counter AS SELECT n AS id, 0 AS value FROM generate_series(1, 4) n")

    def change(key):
        with app.app_context():
            db.session.execute(text("SELECT txid_current()"))
            value = db.session.scalar(
                text(f"UPDATE counter SET value = value + 1 WHERE id = {key} RETURNING value")
            )
            log.append([NewEvent("book.changed", f"{key}", {"value": value})])
            db.session.commit()

    def add(number):
        until_committed(partial(change, number % 4 + 1))
        if number % 3 == 0:
            until_committed(lambda: log.number_events(engine_of(app)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(400)))
    execute(app, "DROP TABLE counter")
    events = read_all(app)
    assert [event.position for event in events] == list(range(1, 401))
    for key in "1234":
        values = [orjson.loads(event.data)["value"] for event in events if event.topic == key]
        assert values == list(range(1, 101))
    assert head(app).log == name


def test_ten_thousand_events_of_one_transaction_get_positions_in_batches(app):
    with app.app_context():
        log.append([NewEvent("book.created", f"{n}", {"n": n}) for n in range(10_000)])
        db.session.commit()
    assert head(app).position == 10_000
    assert [orjson.loads(event.data)["n"] for event in read_all(app)] == list(range(10_000))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_write_that_is_rolled_back_leaves_no_gap(kind, request, make_app):
    app = make_app(request.getfixturevalue(f"{kind}_database"))
    write(app, "first")
    with app.app_context():
        log.append([NewEvent("review.created", "rolled back", {})])
        second = Thread(target=write, args=(app, "second"))
        second.start()
        db.session.rollback()
    second.join(PATIENCE)
    assert [(event.position, event.topic) for event in read_all(app)] == [
        (1, "first"),
        (2, "second"),
    ]


def test_events_are_appended_last_even_with_an_idempotency_key(make_app, postgres_database):
    """Their ids are drawn when all rows are locked."""
    app = make_app(postgres_database)
    book = app.test_client().post("/books", json=BOOK).json["id"]
    head(app)
    statements: list[str] = []

    def record(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(" ".join(statement.split()[:3]))

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", record)
    post_review(app, book, **{"Idempotency-Key": "k"})
    appended = statements.index("INSERT INTO event")
    assert appended > statements.index("UPDATE first_answer SET")
    assert not any("event_head" in statement for statement in statements)


def test_events_can_be_read_page_by_page(app):
    for number in range(6):
        write(app, number=number)
    engine, name = engine_of(app), head(app).log
    some = log.after(engine, Cursor(name, 1), 5, limit=3)
    assert [event.position for event in some] == [2, 3, 4]
    assert log.after(engine, Cursor(name, 6), 6) == []
    assert [event.position for event in log.newest(engine, 5, 2)] == [4, 5]


def test_a_cursor_of_another_log_or_beyond_the_head_is_rejected(app):
    write(app)
    engine, name = engine_of(app), head(app).log
    for cursor in (Cursor(log.new_log_name(), 0), Cursor(name, 2)):
        with pytest.raises(WindowPassed):
            log.after(engine, cursor, UNLIMITED)


def test_a_log_without_a_head_gets_one_name_from_simultaneous_users(app):
    write(app)
    before = head(app).log
    execute(app, "DELETE FROM event_head")
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: write(app) if n % 2 else head(app), range(16)))
    names = {results[n].log for n in range(0, 16, 2)}
    assert len(names) == 1
    assert before not in names
    assert [event.position for event in read_all(app)] == list(range(1, 10))


def test_a_migrated_database_has_a_log_of_its_own(make_app, migrate, tmp_path):
    names = set()
    for number in range(2):
        url = f"sqlite:///{tmp_path}/{number}.db"
        migrate(url)
        app = make_app(url)
        with app.app_context(), db.engine.connect() as connection:
            names.add(connection.execute(text("SELECT log FROM event_head")).scalar_one())
    assert len(names) == 2
