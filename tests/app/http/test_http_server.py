"""The service under gunicorn: raw sockets, several workers, shutdown."""

import contextlib
import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import PATIENCE, wait_until

HEAD = b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NEXT = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
BOOK = b'{"title": "T", "author": "A"}'


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        yield connection


def read_all(connection):
    """Read until the peer closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65_536):
            received += more
    return received


@pytest.mark.parametrize(
    "sent",
    [
        CHUNKED + b"zz\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhelloXX\r\n0\r\n\r\n",
        CHUNKED + b"5;\x00\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"ffffffffffffffffffffffff\r\nhello",
        CHUNKED + b"5\r\nhel",
        CHUNKED + b"\r\n\r\n",
        CHUNKED,
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"%x\r\n%b" % (len(BOOK), BOOK),
        CHUNKED + b"%x\r\n%b\r\n" % (len(BOOK), BOOK),
        HEAD + b"Content-Length: 100\r\n\r\n" + BOOK,
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: nonsense\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /books HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /books?q=\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /b\x00oks HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /books HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /books HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n",
        b"GET " + b"/" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
    ],
    ids=lambda sent: ascii(sent.removeprefix(HEAD).decode("latin-1")[:50]),
)
def test_a_malformed_request_gets_a_4xx_and_the_connection_is_closed(served, sent):
    with connected(served) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        received = read_all(connection)
    statuses = [line[9:10] for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    assert set(statuses) <= {b"4"}, received
    assert served.request("GET", "/books")[0] == 200


@pytest.mark.parametrize("broken", [b"zz\r\n", b"5\r\nhelloXX", b"-5\r\n"])
def test_bytes_after_a_malformed_chunk_are_not_read_as_a_request(served, broken):
    with connected(served) as connection:
        connection.sendall(CHUNKED + broken + NEXT)
        connection.shutdown(socket.SHUT_WR)
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1


def test_a_chunked_body_is_read(served):
    with connected(served) as connection:
        chunks = b"".join(b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in BOOK)
        connection.sendall(CHUNKED + chunks + b"0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 201"


def test_a_chunked_body_beyond_the_limit_is_a_413(served):
    with connected(served) as connection:
        with contextlib.suppress(OSError):
            chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
            connection.sendall(CHUNKED + chunk * 17)
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_chunked_body_at_the_limit_is_read(served):
    with connected(served) as connection:
        padded = BOOK + b" " * (0x100000 - len(BOOK))
        connection.sendall(CHUNKED + b"100000\r\n" + padded + b"\r\n0\r\n\r\n")
        assert connection.recv(12) == b"HTTP/1.1 201"


def test_incomplete_bodies_do_not_block_the_workers(served):
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            connection = stack.enter_context(connected(served))
            connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        assert served.request("GET", "/books")[0] == 200
    for _ in range(20):
        assert served.request("GET", "/books")[0] == 200


def test_metrics_cover_all_workers(served):
    def count():
        text = served.request("GET", "/metrics")[2].decode()
        return sum(
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith("bookstall_requests_total{") and 'route="/openapi.json"' in line
        )

    wait_until(lambda: len({count() for _ in range(10)}) == 1)
    before = count()
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: served.request("GET", "/openapi.json")[0], range(40)))
    assert set(statuses) == {200}
    # Every worker returns the same metrics, as soon as the others have published theirs.
    wait_until(lambda: {count() - before for _ in range(10)} == {40})


def test_every_review_counts_when_several_processes_write_at_once(serve, database):
    server = serve(DATABASE_URL=database)
    assert server.request("POST", "/books", BOOK)[0] == 201

    def add(number):
        review = {"rating": number % 5 + 1, "reviewer": "Ana", "text": "One of many."}
        return server.insist("POST", "/books/1/reviews", json.dumps(review).encode())[0]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(add, range(50))) == {201}
    book = json.loads(server.request("GET", "/books/1")[2])
    assert (book["review_count"], book["average_rating"]) == (50, 3.0)


def test_running_requests_complete_after_sigterm(serve, sqlite_database):
    server = serve(DATABASE_URL=sqlite_database)
    with contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(connected(server)) for _ in range(6)]
        for connection in waiting:
            length = b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(BOOK)
            connection.sendall(HEAD + length)
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # the request is running
        server.terminate()
        for connection in waiting:
            connection.sendall(BOOK)
        for connection in waiting:
            received = read_all(connection)
            assert received.startswith(b"HTTP/1.1 201")
            assert received.endswith(b"}")
    assert server.wait() == 0
    assert "error" not in server.log.read_text().lower()


def test_no_response_is_cut_short_when_the_service_stops_under_load(serve, sqlite_database):
    server = serve(DATABASE_URL=sqlite_database)
    broken, complete, enough = [], [], threading.Event()

    def load():
        while True:
            try:
                with connected(server) as connection:
                    connection.sendall(b"GET /openapi.json HTTP/1.0\r\nHost: x\r\n\r\n")
                    received = read_all(connection)
            except ConnectionError:
                return  # the listening socket is closed
            (complete if received.endswith(b"}") else broken).append(received)
            if len(complete) >= 50:
                enough.set()

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert enough.wait(PATIENCE)
    assert not broken
    server.terminate()
    assert server.wait() == 0
    for thread in threads:
        thread.join()
    # A connection that was never accepted may be closed without a byte.
    assert [received for received in broken if received] == []


def test_sighup_replaces_the_workers_and_a_stop_removes_the_metrics_folder(serve, tmp_path):
    server = serve(DATABASE_URL=f"sqlite:///{tmp_path / 'it.db'}", TMPDIR=str(tmp_path))
    before = set(server.workers())
    server.reload()
    wait_until(lambda: len(server.workers()) == 2 and not before & set(server.workers()))
    assert server.request("GET", "/healthz")[0] == 200
    assert list(tmp_path.glob("bookstall-metrics-*"))
    server.terminate()
    assert server.wait() == 0
    assert not list(tmp_path.glob("bookstall-metrics-*"))
