"""What the configuration, the shutdown and live connections use of gunicorn's ASGI worker."""

import logging
import resource
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

from gunicorn.asgi import websocket

from app.server.asgi_websocket import BoundedWebSocket
from app.server.bounds import RepeatedWarning, connection_limit
from app.server.memory_connection import KnownHeads, MemoryConnection
from app.server.open_connections import CHECK_SECONDS, OpenConnections

PRIVATE_NAMES = (
    "gunicorn.workers.gasgi:ASGIWorker.asgi",
    "gunicorn.workers.gasgi:ASGIWorker.loop",
    "gunicorn.workers.gasgi:ASGIWorker.servers",
    "gunicorn.workers.gasgi:ASGIWorker.handle_exit_signal",
    "gunicorn.asgi.protocol:ASGIProtocol._handle_websocket",
)
"""In addition, ASGIWorker._serve opens its listeners with ``loop.create_server``, and
ASGIProtocol._handle_websocket looks WebSocketProtocol up in its module."""
log = logging.getLogger(__name__)


def application_of(worker: Any) -> Any | None:
    """Return the ASGI application of a worker; None for a worker of another kind."""
    return getattr(worker, "asgi", None)


class AsgiWorker:
    """A worker of gunicorn. Create it before the worker opens its listeners.

    It makes the worker use our connections, which have bounds.
    """

    def __init__(self, worker: Any) -> None:
        self.reuse_port: bool = worker.cfg.reuse_port
        self.listeners: list[socket.socket] = [listener.sock for listener in worker.sockets]
        self._worker = worker
        open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._connections = OpenConnections(connection_limit(open_files))
        self._heads = KnownHeads()
        self._warn_out_of_files = RepeatedWarning(log, "no file handle is left to accept a client")
        worker.loop.create_server = self._bounded(worker.loop.create_server)
        worker.loop.call_later(CHECK_SECONDS, self._check)
        websocket.WebSocketProtocol = BoundedWebSocket

    def on_sigterm(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` instead of stopping at once."""
        self._worker.loop.add_signal_handler(signal.SIGTERM, callback)

    def stop(self) -> None:
        """Close the listeners, and exit as soon as no connection is left."""
        for server in self._worker.servers:
            server.close()
        self._worker.handle_exit_signal()

    def close_idle(self, opened_before: float) -> None:
        """Close the idle connections that were opened before this monotonic time."""
        for connection in self._connections:
            if connection.opened_at < opened_before and connection.is_idle():
                connection.close()

    def _check(self) -> None:
        loop = self._worker.loop
        self._connections.check(time.monotonic())
        if not _can_open_files():
            self._connections.close_idle()
            self._warn_out_of_files()
        loop.call_later(CHECK_SECONDS, self._check)

    def _bounded(self, create_server: Callable[..., Any]) -> Callable[..., Any]:
        async def create(_: Callable[[], Any], **options: Any) -> Any:
            def connection() -> MemoryConnection:
                return MemoryConnection(self._worker, self._connections, self._heads)

            return await create_server(connection, backlog=self._worker.cfg.backlog, **options)

        return create


def _can_open_files() -> bool:
    """Return whether a connection could be accepted: uvloop closes those that cannot be."""
    try:
        socket.socket().close()
    except OSError:
        return False
    return True
