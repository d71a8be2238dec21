"""The shutdown of the service with live reviews."""

import http.client
import shutil
from contextlib import closing, suppress

import pytest
from sqlalchemy import text

from tests.app.live.database import connect
from tests.waiting import PATIENCE, wait_until


@pytest.mark.parametrize("requests", [0, 1])
def test_an_idle_connection_does_not_delay_the_shutdown(
    serve_live, migrated_sqlite, tmp_path, requests
):
    path = shutil.copy(migrated_sqlite, tmp_path / "bookstall.db")
    server = serve_live(DATABASE_URL=f"sqlite:///{path}")
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)) as idle:
        idle.connect()
        for _ in range(requests):
            idle.request("GET", "/healthz")
            assert idle.getresponse().read()
        server.terminate()
        assert server.wait() == 0
        with suppress(ConnectionResetError):  # a connection that no worker had accepted yet
            assert idle.sock.recv(1) == b""


def test_an_event_source_reconnects_even_if_its_stream_had_not_begun(serve_live, postgres_database):
    # On a busy machine the service may give up the lock before its shutdown begins.
    services = (serve_live(DATABASE_URL=postgres_database) for _ in range(5))
    assert any(says_when_to_reconnect(server) for server in services)


def says_when_to_reconnect(server):
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    with connect(server) as blocker, closing(client):
        blocker.execute(text("LOCK TABLE event_head"))  # nobody can read where the log ends
        client.request("GET", "/changes?after=now", headers={"Accept": "text/event-stream"})
        wait_until(lambda: "stream opened" in server.log.read_text())
        server.terminate()
        response = client.getresponse()
        assert response.status == 200
        last_line = response.read().splitlines()[-2]
    assert server.wait() == 0
    return last_line == b"retry: 1000"
