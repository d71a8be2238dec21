"""Clients that stop in the middle of a request: others are served, and they are cut in time."""

import json
import threading
import time
from contextlib import suppress

import pytest

from app.server.bounds import CUTS
from tests.app.server.attackers import STREAM, UNFINISHED, connect, cuts, many, rest
from tests.servers import Gunicorn
from tests.waiting import shortest

CLIENTS = 40
"""More than twice as many as there are threads in all workers."""
CUT_SECONDS = 30
"""Clients are cut after this time: others must not wait for that."""


@pytest.mark.parametrize("what", list(UNFINISHED))
def test_others_are_served_while_many_clients_leave_requests_unfinished(served, what):
    def serve_beside_them():
        with many(served, CLIENTS, UNFINISHED[what]):
            began = time.monotonic()
            for path in ("/healthz", "/books"):
                assert served.request("GET", path)[0] == 200
            body = b'{"title": "Emma", "author": "Jane Austen"}'
            assert served.request("POST", "/books", body)[0] == 201
            return time.monotonic() - began

    assert shortest(serve_beside_them, CUT_SECONDS / 2) < CUT_SECONDS / 2


def test_others_are_served_while_many_clients_send_slowly(served):
    def drip(clients, stop):
        while not stop.wait(0.2):
            for client in clients:
                with suppress(ConnectionError):
                    client.sendall(b"a")

    def serve_beside_them():
        stop = threading.Event()
        with many(served, CLIENTS, UNFINISHED["head"]) as clients:
            dripping = threading.Thread(target=drip, args=(clients, stop))
            dripping.start()
            began = time.monotonic()
            try:
                for _ in range(5):
                    assert served.request("GET", "/books")[0] == 200
                return time.monotonic() - began
            finally:
                stop.set()
                dripping.join()

    assert shortest(serve_beside_them, CUT_SECONDS / 2) < CUT_SECONDS / 2


def test_a_request_in_small_parts_is_complete_with_the_last_one(served):
    body = b'{"title": "Emma", "author": "Jane Austen"}'
    head = b"POST /books HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connect(served) as client:
        for start in range(0, len(head + body), 7):
            client.sendall((head + body)[start : start + 7])
            time.sleep(0.002)
        assert rest(client).startswith(b"HTTP/1.1 201")


@pytest.mark.parametrize("size", [100, 70_000])
def test_pipelined_requests_with_bodies_are_answered_in_order(served, size):
    book = json.dumps({"title": "x" * 100, "author": "y" * size}).encode()
    post = b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    chunked = post + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(book), book)
    counted = post + b"Content-Length: %d\r\n\r\n%b" % (len(book), book)
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(served, chunked + counted + last) as client:
        received = rest(client)
    expected = b"201" if size == 100 else b"422"
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [expected, expected, b"200"]


def test_a_client_that_waits_for_a_100_gets_one(served):
    body = b'{"title": "Emma", "author": "Jane Austen"}'
    head = b"POST /books HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connect(served, head) as client:
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(body)
        assert rest(client).startswith(b"HTTP/1.1 201")


def test_a_client_that_does_not_close_its_half_delays_nobody(served):
    request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    def serve_all():
        began = time.monotonic()
        with many(served, CLIENTS, request) as clients:
            for client in clients:
                assert rest(client).startswith(b"HTTP/1.1 200")
            assert served.request("GET", "/healthz")[0] == 200
        return time.monotonic() - began

    assert shortest(serve_all, CLIENTS) < CLIENTS  # one after the other it would take twice as long


def test_what_takes_too_long_is_cut_and_counted(gunicorn_on_sqlite, live_on_sqlite):
    # Of both servers at once, as this takes half a minute.
    longest = shortest(lambda: seconds_until_cut(gunicorn_on_sqlite, live_on_sqlite), 50)
    assert longest < 50


def seconds_until_cut(gunicorn_on_sqlite, live_on_sqlite):
    """Return how long the last of many clients stays that send nothing more."""
    unfinished = {gunicorn_on_sqlite: UNFINISHED, live_on_sqlite: {**UNFINISHED, "stream": STREAM}}
    before, began = {server: cuts(server) for server in unfinished}, time.monotonic()
    clients = [
        (server, what, connect(server, sent))
        for server, requests in unfinished.items()
        for what, sent in requests.items()
    ]
    for server, what, client in clients:
        received = rest(client)
        seconds = time.monotonic() - began
        assert seconds > 25, (server, what)
        assert received.startswith(b"HTTP/1.1 408" if what != "nothing" else b""), received
        assert (b"application/problem+json" in received) == (what != "nothing"), received
        client.close()
    for server, requests in unfinished.items():
        after = cuts(server)
        # Frames that a WebSocket of an earlier test left behind are still read, and counted.
        new = {cut: after[cut] - before[server][cut] for cut in after if cut[0] != "websocket"}
        assert {cut: count for cut, count in new.items() if count} == {
            ("connection", "timeout"): 1,
            ("head", "timeout"): 1,
            ("body", "timeout"): len(requests) - 2,
        }
        assert set(after) == {(kind, reason) for kind in CUTS for reason in CUTS[kind]}
        assert "Traceback" not in server.log.read_text()
    return seconds


def test_without_a_trusted_proxy_the_start_of_wsgi_says_what_one_is_needed_for(served):
    warned = "wsgi.py needs a buffering proxy" in served.log.read_text()
    assert warned == isinstance(served, Gunicorn)
