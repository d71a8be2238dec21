"""Following goes on without gap or repeat: at another worker, after restarts, from far behind."""

import json
import os
import signal

import pytest
from sqlalchemy import NullPool, create_engine, text

from app.config import database_url
from stack.servers import Postgres, Redis

SHORT = """
subscription($book: ID, $after: String) {
    reviewAdded(bookId: $book, after: $after) { cursor review { text } }
}
"""


def run(server, statement, **values):
    """Run a statement in the database of a service."""
    url = database_url(server.environment["DATABASE_URL"])
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(statement), values)


@pytest.fixture
def server(serve_live, postgres_copy, redis_url):
    return serve_live(DATABASE_URL=postgres_copy, REDIS_URL=redis_url)


def test_a_place_is_good_on_every_worker_after_a_restart_and_after_a_crash(
    server, socket, book, review, until
):
    one = book(server)
    line = socket(server).init().follow(book=one)
    review(server, one, "first")
    cursor = line.event()["cursor"]
    review(server, one, "second")
    review(server, book(server), "of another book")
    review(server, one, "third")
    assert line.texts(2) == ["second", "third"]
    lines = [socket(server).init().follow(book=one, after=cursor) for _ in range(8)]
    assert len({line.worker for line in lines}) == 2
    assert {tuple(line.texts(2)) for line in lines} == {("second", "third")}

    os.kill(line.worker, signal.SIGKILL)
    assert line.end()[0] in {0, 1006}
    until(server.is_ready)
    line = socket(server).init().follow(book=one, after=cursor)
    review(server, one, "fourth")
    assert line.texts(3) == ["second", "third", "fourth"]

    server.stop()
    assert line.end() == (1012, "Service Restart")
    server.start()
    line = socket(server).init().follow(book=one, after=cursor)
    review(server, one, "fifth")
    assert line.texts(4) == ["second", "third", "fourth", "fifth"]
    assert line.is_quiet()


def test_a_place_far_behind_is_read_from_the_table_until_it_is_purged(
    server, socket, stream, book, review
):
    one, start = book(server), server.cursor()
    review(server, one, "like all")
    copies = "SELECT g, topic, payload, created_at FROM event, generate_series(2, 2600) g"
    run(server, f"INSERT INTO event (position, topic, payload, created_at) {copies}")
    run(server, "UPDATE event_head SET position = 2600")
    log = start.partition("-")[0]
    line = socket(server).init().follow(query=SHORT, book=one, after=start)
    found = [line.event()["cursor"] for _ in range(2600)]
    assert found == [f"{log}-{position}" for position in range(1, 2601)]
    events = stream(server, SHORT, after=f"{log}-1")
    assert [events.event()["cursor"] for _ in range(2599)] == found[1:]
    review(server, one, "and on")
    assert line.texts(1) == events.texts(1) == ["and on"]

    server.stop()
    run(server, "DELETE FROM event WHERE position <= 2500")
    server.start()
    line = socket(server).init()
    line.ask(SHORT, after=f"{log}-2499")
    assert line.code() == "WINDOW_PASSED"
    line.ask(SHORT, after=f"{log}-2500")
    assert line.event()["cursor"] == f"{log}-2501"
    kind, told = stream(server, SHORT, after=start).next()
    assert (kind, told["errors"][0]["extensions"]["code"]) == ("next", "WINDOW_PASSED")


@pytest.fixture
def ill_treated(serve_live, migrate):
    """A service, and a PostgreSQL and a Redis of its own."""
    with Postgres() as database, Redis() as cache:
        url = database.new_database("bookstall_live")
        migrate(url)
        yield serve_live(DATABASE_URL=url, REDIS_URL=cache.url), database, cache


def test_lines_stay_while_the_database_or_redis_is_away(ill_treated, socket, stream, book, until):
    server, database, cache = ill_treated
    one = book(server)
    line = socket(server).init().follow(book=one)
    events = stream(server, book=one, after=server.cursor())

    def add(text):
        # Just after an outage a connection may still fail: 503, and nothing is written.
        words = json.dumps({"rating": 4, "reviewer": "Ana", "text": text}).encode()
        until(lambda: server.request("POST", f"/books/{one}/reviews", words)[0] == 201)

    add("before")
    assert line.texts(1) == events.texts(1) == ["before"]

    cache.stop()
    add("without Redis")
    assert line.texts(1) == events.texts(1) == ["without Redis"]
    cache.start()

    database.stop()
    late = socket(server).init()
    late.request(SHORT, book=one)
    assert late.code() == "UNAVAILABLE"
    assert line.is_quiet()
    _, told = stream(server, SHORT, book=one).next()
    assert told["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    database.start()

    add("after")
    assert line.texts(1) == events.texts(1) == ["after"]
    assert "Traceback" not in server.log.read_text()
