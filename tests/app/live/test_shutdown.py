"""The shutdown of the service with live reviews."""

import http.client
import shutil
from contextlib import closing, suppress

import pytest

from tests.waiting import PATIENCE


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
