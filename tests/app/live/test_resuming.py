"""Subscriptions resume without gaps or repeats: at other workers, after restarts."""

import json
import os
import signal

import pytest

from stack.servers import Postgres, Redis
from tests.app.live.database import run

SHORT = """
subscription($book: ID, $after: String) {
    reviewAdded(bookId: $book, after: $after) { cursor review { text } }
}
"""


@pytest.fixture
def server(serve_live, postgres_copy, redis_url):
    return serve_live(DATABASE_URL=postgres_copy, REDIS_URL=redis_url)


def test_a_cursor_is_valid_on_every_worker_after_a_restart_and_after_a_crash(
    server, websocket, book, review, until
):
    one = book(server)
    client = websocket(server).init().subscribe(book=one)
    review(server, one, "first")
    cursor = client.event()["cursor"]
    review(server, one, "second")
    review(server, book(server), "of another book")
    review(server, one, "third")
    assert client.texts(2) == ["second", "third"]
    # The kernel chooses a worker for each connection, and one may not listen yet.
    clients = []
    while len({client.worker for client in clients}) < 2:
        clients.append(websocket(server).init().subscribe(book=one, after=cursor))
    assert {tuple(client.texts(2)) for client in clients} == {("second", "third")}

    os.kill(client.worker, signal.SIGKILL)
    assert client.wait_closed()[0] in {0, 1006}
    until(server.is_ready)
    client = websocket(server).init().subscribe(book=one, after=cursor)
    review(server, one, "fourth")
    assert client.texts(3) == ["second", "third", "fourth"]

    server.stop()
    assert client.wait_closed() == (1012, "Service Restart")
    server.start()
    client = websocket(server).init().subscribe(book=one, after=cursor)
    review(server, one, "fifth")
    assert client.texts(4) == ["second", "third", "fourth", "fifth"]
    assert client.is_quiet()


def test_an_old_cursor_is_read_from_the_table_until_its_events_are_purged(
    server, websocket, stream, book, review
):
    one, start = book(server), server.cursor()
    review(server, one, "like all")
    server.cursor()  # to read it gives the event of the review its position
    log, _, position = start.partition("-")
    first, last = int(position) + 1, int(position) + 2600
    columns = "type, topic, payload, created_at"
    copies = f"SELECT g, {columns} FROM event, generate_series({first + 1}, {last}) g"
    copies += f" WHERE position = {first}"
    run(server, f"INSERT INTO event (position, {columns}) {copies}")
    run(server, f"UPDATE event_head SET position = {last}")
    client = websocket(server).init().subscribe(query=SHORT, book=one, after=start)
    found = [client.event()["cursor"] for _ in range(2600)]
    assert found == [f"{log}-{position}" for position in range(first, last + 1)]
    events = stream(server, SHORT, after=f"{log}-{first}")
    assert [events.event()["cursor"] for _ in range(2599)] == found[1:]
    review(server, one, "and on")
    assert client.texts(1) == events.texts(1) == ["and on"]

    server.stop()
    run(server, f"DELETE FROM event WHERE position <= {last - 100}")
    server.start()
    client = websocket(server).init()
    client.start(SHORT, after=f"{log}-{last - 101}")
    assert client.error_code() == "WINDOW_PASSED"
    client.start(SHORT, after=f"{log}-{last - 100}")
    assert client.event()["cursor"] == f"{log}-{last - 99}"
    kind, result = stream(server, SHORT, after=start).next()
    assert (kind, result["errors"][0]["extensions"]["code"]) == ("next", "WINDOW_PASSED")


@pytest.fixture
def own_servers(serve_live, migrate):
    """A service with a PostgreSQL and a Redis server of its own."""
    with Postgres() as database, Redis() as cache:
        url = database.new_database("bookstall_live")
        migrate(url)
        yield serve_live(DATABASE_URL=url, REDIS_URL=cache.url), database, cache


def test_connections_stay_open_while_the_database_or_redis_is_unavailable(
    own_servers, websocket, stream, book, until
):
    server, database, cache = own_servers
    one = book(server)
    client = websocket(server).init().subscribe(book=one)
    events = stream(server, book=one, after=server.cursor())

    def add(text):
        # Right after an outage a write may still fail with a 503.
        body = json.dumps({"rating": 4, "reviewer": "Ana", "text": text}).encode()
        until(lambda: server.request("POST", f"/books/{one}/reviews", body)[0] == 201)

    add("before")
    assert client.texts(1) == events.texts(1) == ["before"]

    cache.stop()
    add("without Redis")
    assert client.texts(1) == events.texts(1) == ["without Redis"]
    cache.start()

    database.stop()
    late = websocket(server).init()
    late.start(SHORT, book=one)
    assert late.error_code() == "UNAVAILABLE"
    assert client.is_quiet()
    _, result = stream(server, SHORT, book=one).next()
    assert result["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    database.start()

    add("after")
    assert client.texts(1) == events.texts(1) == ["after"]
    assert "Traceback" not in server.log.read_text()


def test_a_resumed_subscription_gets_every_event_also_of_hidden_and_deleted_reviews(
    live, websocket, book, review
):
    one = book(live)
    client = websocket(live).init().subscribe(book=one)
    made = [review(live, one, text) for text in ("first", "second", "third", "fourth")]
    cursor = client.event()["cursor"]
    assert client.texts(3) == ["second", "third", "fourth"]
    assert live.insist("PATCH", f"/reviews/{made[1]}", b'{"hidden": true}')[0] == 200
    assert live.insist("PATCH", f"/reviews/{made[2]}", b'{"text": "New."}')[0] == 200
    assert live.insist("DELETE", f"/reviews/{made[3]}")[0] == 204
    resumed = websocket(live).init().subscribe(book=one, after=cursor)
    review(live, one, "fifth")
    assert resumed.texts(4) == ["second", "third", "fourth", "fifth"]
    assert client.texts(1) == ["fifth"]
