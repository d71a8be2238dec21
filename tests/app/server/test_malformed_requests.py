"""Requests that no client should send: each gets one response, and no traceback is logged."""

import json
import sqlite3
import time
from contextlib import closing

import pytest

from app.server.bounds import LINGER_SECONDS
from tests.app.server.attackers import JSON, connect, cuts, many, memory, rest
from tests.waiting import PATIENCE, wait_until

MEBIBYTE = 1_048_576
CHUNKED = b"POST /books HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


def head_of_lines(count):
    """Return a head without its end, with this many lines of 8 kB."""
    lines = b"".join(b"X-%d: %b\r\n" % (number, b"a" * 8_100) for number in range(count))
    return b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + lines


def status_of(served, request):
    with connect(served, request) as client:
        return rest(client)[:12]


@pytest.mark.parametrize("digits", [1, 20, 400, 4_300, 4_301, 5_000, 8_000])
@pytest.mark.parametrize("path", [b"/books", b"/graphql", b"/graphql/stream"])
def test_any_number_of_digits_in_a_content_length_gets_a_response(served, path, digits):
    request = b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % path
    request += b"Content-Type: application/json\r\nContent-Length: " + b"9" * digits
    if digits == 1:
        request = request[:-1] + b"0"
    assert status_of(served, request + b"\r\n\r\n")[:10] == b"HTTP/1.1 4"
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET /healthz HTTP/1.1\nHost: x\n\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\n\r\n",
        b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        CHUNKED + b"xyz\r\n",
        CHUNKED + b"1\r\nab\r\n",
    ],
)
def test_a_malformed_request_is_refused_at_once(served, request_bytes):
    with connect(served, request_bytes) as client:
        received = rest(client)
    assert received[:9] in {b"HTTP/1.1 ", b""}
    assert received[9:12] != b"408"  # that would be the response after half a minute
    assert served.request("GET", "/healthz")[0] == 200
    assert "Traceback" not in served.log.read_text()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n <2>\r\n\r\n", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /?" + b"a" * 8_200 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 8_200 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X-A: 1\r\n" * 101 + b"\r\n", 431),
        (head_of_lines(9) + b"\r\n", 431),
        (b"POST /books HTTP/1.1\r\nTransfer-Encoding: xyz\r\n\r\n0\r\n\r\n", 501),
        (CHUNKED + b"0x2\r\n{}\r\n0\r\n\r\n", 400),
        (CHUNKED + b"2\r\n{}XX0\r\n\r\n", 400),
        (CHUNKED + b"2\n{}\n0\n\n", 400),
        (CHUNKED + b"2\r\n{}\r\n0\r\nContent-Length: 1\r\n\r\n", 400),
    ],
)
def test_a_malformed_request_gets_one_problem_document(served, request_bytes, status):
    with connect(served, request_bytes) as client:
        head, _, body = rest(client).partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert lines[0].startswith(b"http/1.1 %d " % status)
    assert b"content-type: application/problem+json" in lines
    assert b"x-content-type-options: nosniff" in lines
    assert b"connection: close" in lines
    assert json.loads(body)["status"] == status  # a second response would be more than JSON


@pytest.mark.parametrize("target", [b"http://[x/books", b"//[x/books"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_a_target_with_an_unclosed_bracket_is_an_error_of_the_client(served, method, target):
    request = b"%b %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" % (method, target)
    request += b"Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    assert status_of(served, request)[:10] == b"HTTP/1.1 4"
    assert "Traceback" not in served.log.read_text()


def test_a_body_that_is_too_large_is_not_asked_for(served):
    request = b"POST /books HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
    request += b"Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n"
    assert status_of(served, request) == b"HTTP/1.1 413"


def test_a_client_may_send_a_body_that_is_too_large_before_it_reads(served):
    body = b"a" * 20_000_000

    def status():
        began = time.monotonic()
        try:
            return served.request("POST", "/books", body)[0]
        except ConnectionError:  # the server does not wait for longer
            assert time.monotonic() - began > LINGER_SECONDS

    assert wait_until(status) == 413


def test_nothing_of_a_body_that_is_too_large_is_read_as_a_request(served):
    request = b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    request += b"Content-Length: 2000000\r\n\r\n"
    with connect(served, request + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") as client:
        received = rest(client)
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: keep-alive\r\n" not in received.lower()


def test_a_client_does_not_choose_where_the_service_is_mounted(served):
    request = b"GET /x/healthz HTTP/1.1\r\nSCRIPT_NAME: /x\r\nConnection: close\r\n\r\n"
    assert status_of(served, request) == b"HTTP/1.1 404"


def test_empty_lines_before_a_request_mean_nothing(served):
    request = b"\r\n\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(served, request) as client:
        received = rest(client)
    assert received[:9] == b"HTTP/1.1 "
    assert received[9:12] != b"408"  # that would be the response after half a minute


def test_large_heads_are_refused_before_they_take_memory(served):
    before, counted = memory(served), cuts(served)
    with many(served, 200, head_of_lines(94)):
        assert served.request("GET", "/healthz")[0] == 200
        wait_until(lambda: cuts(served)["head", "size"] - counted["head", "size"] >= 200)
        assert memory(served) - before < 100 * MEBIBYTE
    assert cuts(served)["head", "size"] - counted["head", "size"] == 200


def test_incomplete_heads_have_a_limit_together(served):
    before = memory(served)
    with many(served, 600, head_of_lines(7)):
        assert served.request("GET", "/healthz")[0] == 200
        assert memory(served) - before < 160 * MEBIBYTE


def test_bodies_that_wait_for_a_thread_have_a_limit_together(served):
    book = b'{"title": "A title", "author": "An author"}'.rjust(1_000_000)
    request = b"POST /books HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + JSON
    request += b"Content-Length: %d\r\n\r\n" % len(book) + book
    database = served.environment["DATABASE_URL"].removeprefix("sqlite:///")
    before = memory(served)
    with closing(sqlite3.connect(database, PATIENCE, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # all threads wait
        with many(served, 500, request) as clients:
            # All bodies are 500 MB. A busy worker needs a moment to refuse those above the limit.
            wait_until(lambda: memory(served) - before < 2 * 200 * MEBIBYTE)
            connection.execute("ROLLBACK")
            assert served.request("GET", "/healthz")[0] == 200
            # None is left to disturb later tests.
            assert {rest(client)[9:12] for client in clients} <= {b"201", b"503", b""}
    assert cuts(served)["body", "memory"] > 0


def test_a_client_of_http_1_0_is_told_that_its_connection_stays_open(served):
    request = b"GET /healthz HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n"
    with connect(served) as client:
        for _ in range(2):
            client.sendall(request)
            received = b""
            while not received.endswith(b"}"):
                received += client.recv(4_096)
            assert b"\r\nconnection: keep-alive\r\n" in received.lower()
    with connect(served, b"GET /healthz HTTP/1.0\r\n\r\n") as client:
        assert b"keep-alive" not in rest(client).lower()


def test_every_line_of_the_log_is_json(served):
    for method in ("HEAD", "GET", "PUT"):
        served.request(method, "/graphql/stream")
    status_of(served, b"nonsense\r\n\r\n")
    lines = served.log_lines()
    assert lines
    assert [line for line in lines if not isinstance(json.loads(line), dict)] == []


def test_a_client_that_sends_nonsense_often_causes_few_warnings(served):
    def warnings():
        return served.log.read_text().count("refused a malformed request")

    before, began = warnings(), time.monotonic()
    for _ in range(100):
        status_of(served, b"nonsense\r\n\r\n")
    assert served.request("GET", "/healthz")[0] == 200
    # Each of the two workers writes one a second.
    assert warnings() - before <= 2 * (time.monotonic() - began + 2)
