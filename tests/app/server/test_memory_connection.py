"""Known heads are answered before they are parsed, and like all other requests."""

import random
import select
import socket
import time
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.server.bounds import HEAD_TIMEOUT_SECONDS
from app.server.memory_connection import MAX_HEADS, KnownHeads
from stack.servers import Redis
from tests.app.server.attackers import connect, rest
from tests.waiting import PATIENCE, patient, wait_until

HIT = "bookstall; hit; detail=memory"
LIST = b"GET /books?limit=5 HTTP/1.1\r\nHost: x\r\n\r\n"
REQUESTS = (
    LIST,
    LIST.replace(b"GET", b"HEAD"),
    LIST.replace(b"\r\n\r\n", b"\r\nAccept-Encoding: gzip\r\n\r\n"),
    LIST.replace(b"\r\n\r\n", b"\r\nIf-None-Match: *\r\n\r\n"),
    LIST.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\n{}"),
    LIST.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer wrong\r\n\r\n"),
    LIST.replace(b"books", b"products"),
    LIST.replace(b"books", b"unknown"),
    b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
)


class Client:
    """A connection that is kept open, and the responses that arrive on it."""

    def __init__(self, server):
        self.socket = connect(server)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        self.socket.close()

    def send(self, *chunks):
        for chunk in chunks:
            self.socket.sendall(chunk)
            time.sleep(0.001)

    def receive(self, method=b"GET"):
        """Return status, headers and body of the next response."""
        status = int(self._file.readline().split()[1])
        headers = {}
        while line := self._file.readline().strip().decode("latin-1"):
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        has_body = method != b"HEAD" and status != 304
        return status, headers, self._file.read(int(headers["content-length"]) if has_body else 0)

    def get(self, request):
        self.send(request)
        return self.receive(request.partition(b" ")[0])

    def warm(self, request=LIST):
        """Repeat a request until its head is known: until the second response from memory."""
        hits, deadline = 0, time.monotonic() + PATIENCE
        while hits < 2 and time.monotonic() < deadline:
            hits += self.get(request)[1]["cache-status"] == HIT
        assert hits == 2


def essence(response):
    """Return what does not depend on the moment."""
    status, headers, body = response
    volatile = ("date", "x-request-id", "cache-status")
    shown = {name: value for name, value in headers.items() if name not in volatile}
    return status, shown, body if status < 400 else b""


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=6),
    st.integers(0, 8),
    st.integers(0, 2**32),
)
def test_requests_get_the_same_responses_however_they_are_cut_into_chunks(live, sent, cuts, seed):
    with Client(live) as client:
        client.warm()
        alone = [essence(client.get(request)) for request in sent]
        stream, rng = b"".join(sent), random.Random(seed)
        at = sorted({0, len(stream), *(rng.randrange(len(stream)) for _ in range(cuts))})
        client.send(*(stream[start:end] for start, end in pairwise(at)))
        together = [essence(client.receive(request.partition(b" ")[0])) for request in sent]
    assert together == alone


def test_a_chunk_of_two_requests_is_not_taken_for_the_second_one(live):
    with Client(live) as client:
        client.warm()
        for _ in range(3):
            client.send(REQUESTS[7] + LIST)
            assert [client.receive()[0] for _ in range(2)] == [404, 200]


def test_requests_that_arrive_during_the_wait_for_redis_are_answered_in_order(
    serve_live, migrated_sqlite
):
    with Redis() as redis:
        url = f"sqlite:///{migrated_sqlite}"
        server = serve_live(DATABASE_URL=url, REDIS_URL=redis.url, WEB_CONCURRENCY="1")
        with Client(server) as client:
            client.warm()
            redis.freeze()
            client.send(LIST, REQUESTS[7], LIST, LIST)
            responses = [client.receive() for _ in range(4)]
            redis.thaw()
    assert [status for status, _, _ in responses] == [200, 404, 200, 200]
    assert responses[0][1]["cache-status"] != HIT


def test_a_client_that_leaves_during_the_wait_for_redis_harms_nobody(serve_live, migrated_sqlite):
    with Redis() as redis:
        url = f"sqlite:///{migrated_sqlite}"
        server = serve_live(DATABASE_URL=url, REDIS_URL=redis.url, WEB_CONCURRENCY="1")
        with Client(server) as client:
            client.warm()
            redis.freeze()
            client.send(LIST)
        with Client(server) as another:
            assert another.get(LIST)[0] == 200
        redis.thaw()
        assert '"level":"error"' not in server.log.read_text()


def test_a_first_request_may_wait_for_its_response(serve_live, migrated_sqlite):
    """The time in which a head has to come is over while the response is made."""
    with Redis() as redis:
        url = f"sqlite:///{migrated_sqlite}"
        settings = {"REDIS_URL": patient(redis.url), "WEB_CONCURRENCY": "1"}
        server = serve_live(DATABASE_URL=url, **settings)
        with Client(server) as waiting, Client(server) as client:
            client.warm()
            redis.freeze()
            waiting.send(LIST)
            arrived, _, _ = select.select([waiting.socket], [], [], HEAD_TIMEOUT_SECONDS + 2)
            assert not arrived
            redis.thaw()
            assert waiting.receive()[0] == 200


def test_a_known_head_whose_response_is_not_in_memory_is_answered_like_any_other(
    serve_live, postgres_database
):
    server = serve_live(DATABASE_URL=postgres_database, WEB_CONCURRENCY="1")
    with Client(server) as client:
        for request in REQUESTS:
            answers = [essence(client.get(request)) for _ in range(3)]
            assert answers[0] == answers[1] == answers[2]
        book = b'{"title": "Emma", "author": "Jane Austen"}'
        head = b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.send(head + b"Content-Length: %d\r\n\r\n" % len(book) + book)
        assert client.receive()[0] == 201
        assert b"Emma" in client.get(LIST)[2]


def test_a_known_head_is_counted_by_the_limit(serve_live, sqlite_database):
    server = serve_live(DATABASE_URL=sqlite_database, RATE_LIMIT_READ="50/hour")
    with Client(server) as client:
        statuses = [client.get(LIST)[0] for _ in range(60)]
    assert statuses == [200] * 50 + [429] * 10


def test_the_keepalive_timer_counts_from_the_last_known_head(serve_live, migrated_sqlite):
    options = {"WEB_CONCURRENCY": "1", "GUNICORN_CMD_ARGS": "--keep-alive 6"}
    with Client(serve_live(DATABASE_URL=f"sqlite:///{migrated_sqlite}", **options)) as client:
        client.warm()
        for _ in range(4):  # longer than the timer since the last request that was parsed
            time.sleep(2)
            assert client.get(LIST)[1]["cache-status"] == HIT
        assert rest(client.socket) == b""  # the server closes it


def test_a_connection_that_sent_only_a_known_head_is_closed_after_the_keepalive_time(
    serve_live, migrated_sqlite
):
    options = {"WEB_CONCURRENCY": "1", "GUNICORN_CMD_ARGS": "--keep-alive 1"}
    server = serve_live(DATABASE_URL=f"sqlite:///{migrated_sqlite}", **options)

    def is_hit():  # on a connection of its own, which no pause can make idle for too long
        with Client(server) as client:
            return client.get(LIST)[1]["cache-status"] == HIT

    for _ in range(2):
        wait_until(is_hit)
    with Client(server) as client:
        time.sleep(0.2)  # until the connection waits for its first request
        assert client.get(LIST)[1]["cache-status"] == HIT
        assert rest(client.socket) == b""  # the server closes it


def test_a_known_head_counts_for_max_requests(serve_live, migrated_sqlite):
    options = {"WEB_CONCURRENCY": "1", "GUNICORN_CMD_ARGS": "--max-requests 20"}
    with Client(serve_live(DATABASE_URL=f"sqlite:///{migrated_sqlite}", **options)) as client:
        closing = [client.get(LIST)[1].get("connection") for _ in range(15)]
        while not closing[-1]:
            closing.append(client.get(LIST)[1].get("connection"))
        assert len(closing) <= 20
        assert rest(client.socket) == b""


@pytest.mark.parametrize("line", [b"Connection: close\r\n", b"Upgrade: h2c\r\n"])
def test_a_head_about_the_connection_itself_is_never_known(live, line):
    request = LIST.replace(b"\r\n\r\n", b"\r\n" + line + b"\r\n")
    for _ in range(3):
        with Client(live) as client:
            status, headers, _ = client.get(request)
            assert status == 200
            assert ("close" in line.decode()) == (headers.get("connection") == "close")


def test_the_heads_that_were_used_last_are_kept():
    heads = KnownHeads()
    for number in range(MAX_HEADS):
        heads.put("::1", str(number).encode(), number)
    assert heads.get("::1", b"0") == 0
    heads.put("::1", b"another", MAX_HEADS)
    assert heads.get("::1", b"1") is None
    assert heads.get("::1", b"0") == 0
    assert heads.get("::2", b"0") is None
