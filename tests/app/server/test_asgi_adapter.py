"""The installed gunicorn has what we use of it beyond its documentation."""

import os
import resource
from contextlib import ExitStack

import pytest
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers.gasgi import ASGIWorker

from app.live import connection
from app.server import (
    asgi_adapter,
    asgi_connection,
    asgi_websocket,
    incoming,
    memory_connection,
    shutdown,
    wsgi_worker,
)
from tests.app.private_names import check
from tests.app.server.attackers import cuts, many, until_served
from tests.servers import LiveGunicorn
from tests.waiting import wait_until

FILES = 256
ADAPTERS = (
    connection,
    asgi_adapter,
    asgi_connection,
    asgi_websocket,
    incoming,
    memory_connection,
    shutdown,
    wsgi_worker,
)


@pytest.mark.parametrize(
    ("adapter", "name"), [(module, name) for module in ADAPTERS for name in module.PRIVATE_NAMES]
)
def test_gunicorn_has_the_private_name(adapter, name):
    check(name, adapter, "gunicorn")


def test_the_worker_opens_its_listeners_through_the_loop():
    assert "create_server" in ASGIWorker._serve.__code__.co_names


def test_a_connection_looks_its_websocket_up_in_the_module():
    assert "WebSocketProtocol" in ASGIProtocol._handle_websocket.__code__.co_names


class OccupiedFiles(LiveGunicorn):
    """A service whose limit of open files is nearly reached before the first client."""

    occupied: tuple[int, ...] = ()

    def popen_options(self):
        limits = (FILES, FILES)
        return {
            **super().popen_options(),
            "pass_fds": self.occupied,
            "preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
        }


def test_idle_clients_make_room_when_no_file_is_left(migrated_sqlite, tmp_path):
    server = OccupiedFiles(DATABASE_URL=f"sqlite:///{migrated_sqlite}", WEB_CONCURRENCY="1")
    with (tmp_path / "occupied").open("w") as file, ExitStack() as stack:
        # More than the service reserves: it reaches this limit before that of connections.
        opened = [os.dup(file.fileno()) for _ in range(FILES // 2)]
        for each in opened:
            stack.callback(os.close, each)
        server.occupied = tuple(opened)
        stack.enter_context(server)
        with many(server, FILES, b""):
            until_served(server, "/healthz")
        until_served(server, "/healthz")
        assert cuts(server)["connection", "capacity"] > 0
        warning = "no file handle is left to accept a client"
        wait_until(lambda: warning in server.log.read_text())  # written by another thread
