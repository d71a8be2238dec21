"""Exports from real servers, under both kinds of worker: snapshots, clients and failures."""

import contextlib
import http.client
import json
import re
import shutil
import time

import psutil
import pytest
from sqlalchemy import NullPool, create_engine, insert, make_url, text

from app.config import EXPORTS, database_url
from app.server import bounds
from bookreview.models import Book, Review, derive
from tests import databases
from tests.servers import Gunicorn, LiveGunicorn
from tests.waiting import PATIENCE, wait_until

REVIEWS = 20_000
"""With their texts 20 MB: much more than all buffers between the database and a client hold."""
TEXT = "x" * 1_000
SNAPSHOTS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bookstall export'"
KILL = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE application_name = 'bookstall export' AND datname = current_database()"
)


def execute(url, statement):
    """Run one statement outside the service, and return its first value."""
    engine = create_engine(database_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def fill(url):
    with create_engine(database_url(url), poolclass=NullPool).begin() as connection:
        book = {"title": "Emma", "author": "Jane Austen", **derive("Emma", "Jane Austen")}
        counts = {"review_count": REVIEWS, "rating_sum": 3 * REVIEWS, "stars_3": REVIEWS}
        connection.execute(insert(Book), {**book, **counts})
        review = {"book_id": 1, "rating": 3, "reviewer": "Ana", "text": TEXT}
        connection.execute(insert(Review), [review] * REVIEWS)


@pytest.fixture(scope="module")
def filled_sqlite(migrated_sqlite, tmp_path_factory):
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("export") / "filled.db")
    fill(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def filled_postgres(postgres_url, migrated_postgres):
    with databases.copy_of(postgres_url, migrated_postgres) as url:
        fill(url)
        yield make_url(url).database


def copy(request, kind, folder):
    """Yield the URL of a database with REVIEWS."""
    if kind == "sqlite":
        filled = request.getfixturevalue("filled_sqlite")
        yield f"sqlite:///{shutil.copy(filled, folder / 'bookstall.db')}"
        return
    names = ("postgres_url", "filled_postgres")
    with databases.copy_of(*map(request.getfixturevalue, names)) as url:
        yield url


SERVERS = pytest.mark.parametrize("kind", [Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_url(request, tmp_path_factory):
    yield from copy(request, request.param, tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="module", params=[Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])
def server(request, shared_url):
    """A service with one worker, of each kind on each database."""
    with request.param(DATABASE_URL=shared_url, WEB_CONCURRENCY="1") as running:
        running.url = shared_url
        yield running


@pytest.fixture
def sqlite_url(request, tmp_path):
    yield from copy(request, "sqlite", tmp_path)


@pytest.fixture
def postgres_url_of_one(request, tmp_path):
    yield from copy(request, "postgresql", tmp_path)


class Client:
    """A client that reads an export as slowly as the test wants."""

    def __init__(self, server, path="/reviews/export"):
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
        self._connection.request("GET", path)
        self.response = self._connection.getresponse()

    def read_some(self):
        return self.response.read1(10_000)

    def read_all(self):
        """Read what is left; return whether the response was complete."""
        try:
            self.response.read()
        except (http.client.IncompleteRead, ConnectionError):
            return False
        return True

    def read_slowly(self, server):
        """Read to the end, at 200 kB/s until the server has ended.

        At that rate an export of REVIEWS would take two minutes, but each of its parts is sent
        seconds before gunicorn kills the worker: the export ends between two of them.
        """
        while self.response.read1(100_000):
            if server.running:
                time.sleep(0.5)

    def leave(self):
        self.response.close()
        self._connection.close()


@contextlib.contextmanager
def export(server):
    client = Client(server)
    try:
        yield client
    finally:
        client.leave()


def is_snapshot_open(server):
    """Return whether the database keeps an older state for somebody."""
    if server.url.startswith("postgres"):
        return execute(server.url, f"{SNAPSHOTS} AND datname = current_database()") > 0
    assert server.request("POST", "/books", b'{"title": "A", "author": "B"}')[0] == 201
    return execute(server.url, "PRAGMA wal_checkpoint(TRUNCATE)") == 1  # "busy"


def outcomes(server):
    """Return how many exports of reviews ended in which way."""
    _, _, body = server.request("GET", "/metrics")
    pattern = r'bookstall_streams_total\{outcome="(\w+)",route="/reviews/export"\} ([0-9.]+)'
    return {name: float(count) for name, count in re.findall(pattern, body.decode())}


def records(server):
    """Return the log records of exports of reviews that have been written."""
    *lines, _ = server.log.read_text().split("\n")  # after the last newline may be half a line
    found = [json.loads(line) for line in lines if line[:1] == "{"]
    return [record for record in found if "/reviews/export" in record["message"]]


def new_outcomes(server, before, count=1):
    """Return how ``count`` exports have ended since ``before``, when they have."""

    def new():
        after = outcomes(server).items()
        found = {name: n for name, total in after if (n := total - before.get(name, 0))}
        return sum(found.values()) >= count and found

    return wait_until(new)


def test_an_export_shows_one_state_while_rows_are_written(server):
    first = [json.loads(line) for line in server.request("GET", "/reviews/export")[2].splitlines()]
    edited, removed = first[-1]["id"], first[-2]["id"]
    with export(server) as client:
        client.read_some()
        change = b'{"text": "new"}'
        assert server.request("PATCH", f"/reviews/{edited}", change)[0] == 200
        assert server.request("DELETE", f"/reviews/{removed}")[0] == 204
        new = b'{"rating": 5, "reviewer": "Ben", "text": "Added."}'
        assert server.request("POST", "/books/1/reviews", new)[0] == 201
        last = [json.loads(line) for line in client.response.read().splitlines()[-2:]]
    assert last == first[-2:]
    _, _, body = server.request("GET", "/reviews/export")
    after = [json.loads(line) for line in body.splitlines()[-2:]]
    assert [review["text"] for review in after] == ["new", "Added."]


def test_a_whole_export_is_recorded_with_its_bytes(server):
    before = outcomes(server)
    status, headers, body = server.request("GET", "/reviews/export", X_Request_ID="whole")
    assert (status, headers["Transfer-Encoding"]) == (200, "chunked")
    assert new_outcomes(server, before) == {"complete": 1}
    [record] = wait_until(lambda: [r for r in records(server) if r.get("request_id") == "whole"])
    assert (record["status"], record["bytes"]) == (200, len(body))


def test_head_begins_no_transfer(server):
    before = outcomes(server)
    for _ in range(EXPORTS + 1):
        status, headers, body = server.request("HEAD", "/reviews/export")
        assert (status, body) == (200, b"")
        assert headers["Content-Type"] == "application/x-ndjson"
    assert outcomes(server) == before


def test_the_memory_does_not_grow_with_what_clients_leave_unread(server):
    [pid] = server.workers()
    server.request("GET", "/reviews/export")
    ended, before = outcomes(server), psutil.Process(pid).memory_info().rss
    with contextlib.ExitStack() as stack:
        for _ in range(EXPORTS):
            stack.enter_context(export(server)).read_some()
        for _ in range(3):
            server.request("GET", "/books/1")
        assert psutil.Process(pid).memory_info().rss - before < REVIEWS * len(TEXT) / 2
    assert new_outcomes(server, ended, EXPORTS) == {"disconnected": EXPORTS}


def test_others_are_served_while_clients_of_exports_do_not_read(server):
    before = outcomes(server)
    with contextlib.ExitStack() as stack:
        for _ in range(EXPORTS):
            stack.enter_context(export(server)).read_some()
        for _ in range(20):
            assert server.request("GET", "/books/1")[0] == 200
        refused, headers, _ = server.request("GET", "/books/export")
        assert (refused, headers["Retry-After"]) == (503, "10")
    assert new_outcomes(server, before, EXPORTS) == {"disconnected": EXPORTS}
    assert server.request("GET", "/books/export")[0] == 200


def test_the_snapshot_ends_when_the_client_has_left(server):
    wait_until(lambda: not is_snapshot_open(server))
    before = outcomes(server)
    client = Client(server)
    client.read_some()
    assert is_snapshot_open(server)
    client.leave()
    wait_until(lambda: not is_snapshot_open(server))
    assert new_outcomes(server, before) == {"disconnected": 1}
    assert "Traceback" not in server.log.read_text()


def test_a_client_can_tell_that_the_database_was_lost_in_the_middle(server):
    if server.url.startswith("sqlite"):
        pytest.skip("SQLite has no server")
    before = outcomes(server)
    with export(server) as client:
        client.read_some()
        assert execute(server.url, KILL) is True
        assert not client.read_all()
    assert new_outcomes(server, before) == {"failed": 1}
    wait_until(lambda: "/reviews/export ended early after" in server.log.read_text())
    assert "Traceback" not in server.log.read_text()
    assert server.request("GET", "/reviews/export")[0] == 200


def test_a_database_that_refuses_connections_is_a_503(server):
    if server.url.startswith("sqlite"):
        pytest.skip("SQLite has no server")
    name = make_url(server.url).database
    others = databases.with_database(server.url, "postgres")
    databases.execute(others, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        status, headers, body = server.request("GET", "/reviews/export")
    finally:
        databases.execute(others, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert (status, headers["Content-Type"]) == (503, "application/problem+json"), body
    assert server.request("GET", "/reviews/export")[0] == 200


@SERVERS
def test_a_graceful_stop_lets_a_reading_client_have_the_whole_file(kind, sqlite_url):
    with kind(DATABASE_URL=sqlite_url, WEB_CONCURRENCY="1") as server:
        with export(server) as client:
            client.read_some()
            server.terminate()
            assert client.read_all()
        assert server.wait() == 0
        assert "Traceback" not in server.log.read_text()


@SERVERS
def test_a_graceful_stop_ends_an_export_that_would_take_longer(kind, postgres_url_of_one):
    with kind(DATABASE_URL=postgres_url_of_one, WEB_CONCURRENCY="1") as server:
        with export(server) as client:
            client.read_some()
            server.terminate()
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                client.read_slowly(server)
        assert server.wait() == 0
        assert records(server)[-1]["message"].endswith("the process is shutting down")
        assert "Traceback" not in server.log.read_text()


def test_a_client_that_stops_reading_is_cut_and_its_snapshot_ends(postgres_url_of_one):
    # Under both servers at once, as this takes a minute.
    url, began = postgres_url_of_one, time.monotonic()
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(kind(DATABASE_URL=url, WEB_CONCURRENCY="1"))
            for kind in (Gunicorn, LiveGunicorn)
        ]
        for server in servers:
            stack.enter_context(export(server)).read_some()
        assert execute(url, f"{SNAPSHOTS} AND datname = current_database()") == 2
        for server in servers:
            deadline = bounds.RESPONSE_TIMEOUT_SECONDS + PATIENCE
            assert wait_until(lambda server=server: outcomes(server), deadline) == {
                "disconnected": 1
            }
            metrics = server.request("GET", "/metrics")[2].decode()
            assert 'bookstall_cut_total{kind="response",reason="timeout"} 1.0' in metrics
            assert "Traceback" not in server.log.read_text()
        assert time.monotonic() - began > bounds.RESPONSE_TIMEOUT_SECONDS / 2
        wait_until(lambda: not execute(url, f"{SNAPSHOTS} AND datname = current_database()"))
