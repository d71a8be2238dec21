"""Everything that we use of gunicorn's ASGI worker beyond its documentation.

gunicorn is not imported here: other ASGI servers can run the application too.
"""

import asyncio
import select
import signal
import socket
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from starlette.types import Send

PRIVATE_NAMES = (
    "gunicorn.workers.gasgi:ASGIWorker.asgi",
    "gunicorn.workers.gasgi:ASGIWorker.loop",
    "gunicorn.workers.gasgi:ASGIWorker.servers",
    "gunicorn.workers.gasgi:ASGIWorker.handle_exit_signal",
    "gunicorn.asgi.protocol:ASGIProtocol.transport",
    "gunicorn.asgi.protocol:ASGIProtocol._awaiting_request",
    "gunicorn.asgi.protocol:ASGIProtocol._callback_parser",
    "gunicorn.asgi.parser:PythonProtocol._buffer",
    "gunicorn.asgi.parser:PythonProtocol._state",
    "gunicorn.asgi.websocket:WebSocketProtocol.transport",
    "gunicorn.asgi.websocket:WebSocketProtocol._send",
)
"""In addition, ASGIWorker._serve opens its listeners with ``loop.create_server``."""


def transport_of(send: Send) -> asyncio.WriteTransport | None:
    """Return the transport of a WebSocket, which ASGI does not expose; else None."""
    transport = getattr(getattr(send, "__self__", None), "transport", None)
    return transport if isinstance(transport, asyncio.WriteTransport) else None


def application_of(worker: Any) -> Any | None:
    """Return the ASGI application of a worker; None for a worker of another kind."""
    return getattr(worker, "asgi", None)


class AsgiWorker:
    """What the shutdown needs of a worker. Create it before the worker opens its listeners.

    It patches the event loop to track connections, which gunicorn only counts.
    """

    def __init__(self, worker: Any) -> None:
        self.reuse_port: bool = worker.cfg.reuse_port
        self.listeners: list[socket.socket] = [listener.sock for listener in worker.sockets]
        self._worker = worker
        self._opened_at: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        worker.loop.create_server = self._tracking(worker.loop.create_server)

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
        for connection, opened_at in list(self._opened_at.items()):
            if opened_at < opened_before and _is_idle(connection):
                connection.transport.close()

    def _tracking(self, create_server: Callable[..., Any]) -> Callable[..., Any]:
        def create(factory: Callable[[], Any], **options: Any) -> Any:
            def tracked() -> Any:
                connection = factory()
                self._opened_at[connection] = time.monotonic()
                return connection

            # asyncio calls listen() again, with a backlog of 100 by default.
            return create_server(tracked, backlog=self._worker.cfg.backlog, **options)

        return create


def _is_idle(connection: Any) -> bool:
    """Return whether no byte of a request has arrived, not even in the kernel."""
    if not connection._awaiting_request or connection.transport.is_closing():
        return False
    parser = connection._callback_parser
    if parser._buffer or parser._state != "request_line":
        return False
    readable = select.poll()
    readable.register(connection.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not readable.poll(0)
