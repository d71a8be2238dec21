"""GET /changes?wait=: the response comes with the next event."""

import http.client
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.waiting import PATIENCE, wait_until

LONG = 20
MANY = 20


def read(server, query):
    status, _, body = server.request("GET", f"/changes?{query}")
    assert status == 200, body
    return json.loads(body)


@pytest.fixture
def held():
    """Send requests in threads that wait for the responses, and return their futures."""
    with ThreadPoolExecutor(MANY) as pool:

        def send(server, query, times=1):
            before = waiting(server)
            futures = [pool.submit(read, server, query) for _ in range(times)]
            wait_until(lambda: waiting(server) >= before + times)
            return futures

        yield send


def metric(server, name):
    """Return the sum of the lines of a metric that begin so."""
    text = server.request("GET", "/metrics")[2].decode()
    return sum(float(x.rpartition(" ")[2]) for x in text.splitlines() if x.startswith(name))


def waiting(server):
    """Return how many requests wait."""
    return metric(server, 'bookstall_live_connections{kind="wait"')


def ended(server, reason):
    """Return how many requests have stopped to wait for this reason."""
    return metric(server, f'bookstall_live_closed_total{{kind="wait",reason="{reason}"}}')


def test_an_event_ends_the_wait(live, held, book):
    cursor = live.cursor()
    (response,) = held(live, f"after={cursor}&wait={LONG}")
    assert not response.done()
    one = book(live)
    (item,) = response.result(PATIENCE)["items"]
    assert item["data"]["id"] == int(one)


def test_a_wait_from_now_shows_the_next_event(live, held, book):
    (response,) = held(live, f"after=now&wait={LONG}")
    one = book(live)
    assert [item["data"]["id"] for item in response.result(PATIENCE)["items"]] == [int(one)]


def test_events_of_other_types_do_not_end_it(live, held, book, review):
    (response,) = held(live, f"after=now&type=review.created&wait={LONG}")
    one = book(live)
    review(live, one)
    assert [item["type"] for item in response.result(PATIENCE)["items"]] == ["review.created"]


def test_without_an_event_it_ends_with_an_empty_page(live):
    cursor, before = live.cursor(), ended(live, "timeout")
    began = time.monotonic()
    page = read(live, f"after={cursor}&wait=1")
    assert time.monotonic() > began + 0.9
    assert ended(live, "timeout") == before + 1
    assert page == {"items": [], "cursor": cursor, "has_more": False}


def test_what_is_stored_already_is_not_waited_for(live, book):
    cursor, before = live.cursor(), ended(live, "event")
    book(live)
    for query in (f"after={cursor}", "limit=1"):
        assert read(live, f"{query}&wait={LONG}")["items"]
    assert ended(live, "event") == before + 2


@pytest.mark.parametrize(
    ("query", "headers", "status"),
    [
        ("after=x", {}, 400),
        ("after=0123456789abcdef-1", {}, 410),
        ("type=x", {}, 422),
        ("after=now", {"Authorization": "Bearer nonsense"}, 401),
        ("after=now", {"Accept": "text/plain"}, 406),
    ],
)
def test_what_is_rejected_does_not_wait(live, query, headers, status):
    before = metric(live, 'bookstall_live_closed_total{kind="wait"')
    path = f"/changes?wait={LONG}&{query}"
    assert live.request("GET", path, **headers)[0] == status
    assert metric(live, 'bookstall_live_closed_total{kind="wait"') == before


def test_a_waiting_request_holds_no_thread(live, held, book):
    """There are fewer threads than requests that wait."""
    responses = held(live, f"after=now&wait={LONG}", MANY)
    one = book(live)
    for response in responses:
        assert [item["data"]["id"] for item in response.result(PATIENCE)["items"]] == [int(one)]


def test_its_connection_can_be_used_again(live):
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=PATIENCE)) as client:
        client.connect()
        sock = client.sock
        for _ in range(2):
            client.request("GET", "/changes?after=now&wait=1")
            response = client.getresponse()
            assert (response.status, json.loads(response.read())["items"]) == (200, [])
            assert client.sock is sock


def test_a_process_that_ends_lets_nothing_wait(serve_live, sqlite_database, held):
    server = serve_live(DATABASE_URL=sqlite_database, WEB_CONCURRENCY="1")
    responses, (pid,) = held(server, f"after=now&wait={LONG}", 2), server.workers()
    # Not by a reload: to start the new worker first may take longer than they wait.
    os.kill(pid, signal.SIGTERM)
    for response in responses:
        assert response.result(PATIENCE)["items"] == []
    wait_until(lambda: pid not in server.workers() and server.is_ready())
    assert ended(server, "shutdown") == 2


def test_a_client_that_leaves_does_not_wait_any_longer(live):
    before, left = waiting(live), ended(live, "disconnected")
    client = http.client.HTTPConnection("127.0.0.1", live.port, timeout=PATIENCE)
    client.request("GET", f"/changes?after=now&wait={LONG}")
    wait_until(lambda: waiting(live) > before)
    client.close()
    wait_until(lambda: waiting(live) == before)
    assert ended(live, "disconnected") == left + 1
