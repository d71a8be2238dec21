"""GET /changes as an event stream."""

import asyncio
import json
import os
import signal
import time
from contextlib import aclosing

import pytest

from app.errors import OverCapacity, ShuttingDown
from app.http.cors import Cors
from app.live.change_streams import ChangeStreams
from tests.app.live.database import run
from tests.app.live.event_source import EventSource
from tests.waiting import PATIENCE, wait_until

ACCEPT = {"Accept": "text/event-stream"}


def pages_after(server, cursor, query=""):
    """Return all events after a cursor, as pages have them."""
    items, has_more = [], True
    while has_more:
        path = f"/changes?limit=100&after={cursor}{query}"
        page = json.loads(server.request("GET", path)[2])
        items, cursor, has_more = items + page["items"], page["cursor"], page["has_more"]
    return items


@pytest.fixture
def changes(stream):
    """Request the stream of changes."""
    return lambda server, query="", **headers: stream(
        server, method="GET", path=f"/changes?{query}", headers={**ACCEPT, **headers}
    )


def next_event(stream):
    """Return the fields of the next event that has data."""
    found, began = {}, time.monotonic()
    for line in stream.lines():
        assert time.monotonic() < began + PATIENCE, "no event"
        name, _, value = line.partition(": ")
        if line and name:
            found[name] = value
        elif "data" in found:
            return found
        elif not line:
            found.clear()
    raise AssertionError("the stream has ended")


def test_an_event_is_its_cursor_and_its_json_without_a_name(live, changes, book):
    cursor = live.cursor()
    events = changes(live, f"after={cursor}")
    assert (events.status, events.header("Content-Type")) == (
        200,
        "text/event-stream; charset=utf-8",
    )
    assert events.header("Cache-Control") == "no-store"
    assert int(next(events.lines()).removeprefix("retry: ")) > 0
    one = book(live)
    found = next_event(events)
    assert found.keys() == {"id", "data"}
    (item,) = pages_after(live, cursor)
    assert json.loads(found["data"]) == item
    assert (found["id"], item["type"], item["data"]["id"]) == (
        item["cursor"],
        "book.created",
        int(one),
    )


def test_a_stream_resumes_after_last_event_id_whatever_its_query_says(live, changes, book):
    cursor = live.cursor()
    for _ in range(3):
        book(live)
    first, *others = pages_after(live, cursor)
    events = changes(live, f"after={cursor}", **{"Last-Event-ID": first["cursor"]})
    assert [json.loads(next_event(events)["data"]) for _ in others] == others


def test_a_stream_without_a_cursor_begins_with_the_oldest_event(live, changes, book):
    book(live)
    oldest = json.loads(live.request("GET", "/changes?limit=1")[2])["items"][0]
    assert json.loads(next_event(changes(live))["data"]) == oldest


def test_a_stream_from_now_can_resume_before_its_first_event(live, book):
    with EventSource(live, "/changes?after=now") as source:
        wait_until(lambda: source.last_event_id)
        assert source.events == []
        cursor = source.last_event_id
        book(live)
        source.wait_for(1)
    assert [data for _, data in source.events] == pages_after(live, cursor)


def test_only_events_of_the_chosen_types_are_sent(live, changes, book, review):
    cursor = live.cursor()
    events = changes(live, f"after={cursor}&type=review.created,review.deleted")
    one = review(live, book(live))
    assert live.insist("DELETE", f"/reviews/{one}")[0] == 204
    types = [json.loads(next_event(events)["data"])["type"] for _ in range(2)]
    assert types == ["review.created", "review.deleted"]


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("after=x", {}, 400),
        ("", {"Last-Event-ID": "x"}, 400),
        ("after=0123456789abcdef-1", {}, 410),
        ("after=now", {"Last-Event-ID": "0123456789abcdef-1"}, 410),
        ("type=book", {}, 422),
        ("limit=5", {}, 422),
        ("wait=5", {}, 422),
        ("", {"Authorization": "Bearer nonsense"}, 401),
        ("", {"Origin": "https://elsewhere.example"}, 403),
    ],
)
def test_a_problem_is_the_response_in_the_place_of_a_stream(live, changes, query, headers, status):
    response = changes(live, query, **headers)
    assert response.status == status
    assert response.header("Content-Type") == "application/problem+json"
    assert response.json()["status"] == status


def test_a_head_has_the_headers_only(live):
    status, headers, body = live.request("HEAD", "/changes?after=now", **ACCEPT)
    assert (status, body) == (200, b"")
    assert headers["Content-Type"].startswith("text/event-stream")


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/json, text/*;q=0.5"])
def test_other_clients_get_pages(live, accept):
    headers = live.request("GET", "/changes?after=now", Accept=accept)[1]
    assert (headers["Content-Type"], headers["Vary"]) == ("application/json", "Accept")


class Connection:
    """Collects what is sent."""

    def __init__(self):
        self.environ = {"REQUEST_METHOD": "GET"}
        self.request_id = "any"
        self.rate_limit_headers = ()
        self.sent = []

    async def send(self, message):
        self.sent.append(message)


def test_what_is_temporary_lets_an_event_source_try_again():
    """Any status but 200 would end it for ever."""
    streams = ChangeStreams(None, None, None, Cors(()))
    for error, seconds in ((ShuttingDown("It ends."), 1), (OverCapacity("It is full."), 5)):
        connection = Connection()
        asyncio.run(streams.send_problem(error, connection))
        start, body = connection.sent
        assert start["status"] == 200
        assert body["body"].decode().endswith(f"\nretry: {seconds}000\n\n")
        assert not body["more_body"]


def test_a_follower_of_a_rare_type_learns_how_far_it_has_read(hub):
    async def scenario(log):
        keys = frozenset({"hold.created"})
        await log.catch_up()
        batches = log.hub.batches(keys, None, lambda: None, within=0.05)
        async with aclosing(batches):
            assert (await anext(batches)).events == []
            log.write(3)
            await log.catch_up()
            async for batch in batches:
                assert batch.events == []
                if batch.position == 3:
                    break

    hub(scenario)


def test_an_event_source_survives_all_faults_until_its_cursor_is_gone(
    serve_live, postgres_database, redis_server, book
):
    server = serve_live(DATABASE_URL=postgres_database, REDIS_URL=redis_server.url)
    path = f"/changes?after={server.cursor()}"
    cursor = path.partition("=")[2]
    with EventSource(server, path) as source:
        book(server)
        source.wait_for(1)
        workers = server.workers()
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: set(server.workers()).isdisjoint(workers) and server.is_ready())
        book(server)
        source.wait_for(2)
        workers = server.workers()
        server.reload()
        wait_until(lambda: set(server.workers()).isdisjoint(workers))
        book(server)
        source.wait_for(3)
        redis_server.stop()
        book(server)
        redis_server.start()
        book(server)
        events = source.wait_for(5)
        assert [data for _, data in events] == pages_after(server, cursor)
        assert source.connections > 2
        run(server, "DELETE FROM event_head")
        wait_until(lambda: source.status)
        assert source.status == 410
