"""gunicorn's worker with threads, which receives whole requests before a thread handles them.

gunicorn's threads wait for requests: clients that stop in the middle of one would occupy them all.
A client that does not read its response still occupies one, for RESPONSE_TIMEOUT_SECONDS at most.
"""

import contextlib
import errno
import logging
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

from app.server import bounds
from app.server.bounds import RepeatedWarning, cut
from app.server.early_response import early_response
from app.server.incoming import BodyLimits, IncomingRequest, received_from
from app.server.open_connections import CHECK_SECONDS, EVICTED_SHARE

WORKER = "gunicorn.workers.gthread:ThreadWorker"
PRIVATE_NAMES = (
    "gunicorn.http.message:Message.force_close",
    "gunicorn.http.unreader:Unreader.chunk",
    "gunicorn.http.unreader:Unreader.take_buffered",
    "gunicorn.http.unreader:Unreader.unread",
    "gunicorn.workers.gthread:TConn.data_ready",
    "gunicorn.workers.gthread:TConn.init",
    f"{WORKER}._cap_keepalive",
    f"{WORKER}.accept",
    f"{WORKER}.enqueue_req",
    f"{WORKER}.finish_request",
    f"{WORKER}.handle_request",
    f"{WORKER}.keepalived_conns",
    f"{WORKER}.murder_pending",
    f"{WORKER}.nr_conns",
    f"{WORKER}.poller",
    f"{WORKER}.set_accept_enabled",
    f"{WORKER}.worker_connections",
)
ACCEPT_PAUSE_SECONDS = 0.5
"""For how long no connection is accepted when there is no file handle for one."""
RECEIVE_TIMEOUT = struct.pack("ll", 5, 0)
"""The timeval after which a thread no longer waits for bytes: it should never need any."""
log = logging.getLogger(__name__)


class BufferingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A worker whose threads never wait for a request."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._incoming: dict[Any, IncomingRequest] = {}
        self._closing: dict[Any, float] = {}
        """Connections whose responses are complete, and when each is closed at the latest."""
        self._listened: set[Any] = set()  # those of both kinds that the poller watches
        self._received_bytes = 0
        self._check_after = self._accept_after = 0.0
        self._warn_out_of_files = RepeatedWarning(log, "no file handle is left to accept a client")

    def run(self) -> None:
        self._limits = BodyLimits(self.wsgi)
        super().run()

    def accept(self, listener: socket.socket) -> None:
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                raise
            self._warn_out_of_files()
            self._make_room()
            self._accept_after = time.monotonic() + ACCEPT_PAUSE_SECONDS
            self.set_accept_enabled(enabled=False)

    def set_accept_enabled(self, enabled: bool) -> None:
        if not enabled or time.monotonic() >= self._accept_after:
            super().set_accept_enabled(enabled)

    def enqueue_req(self, conn: Any) -> None:
        """Receive a request on a connection; a thread handles it when it is complete."""
        conn.is_last_request, conn.held_bytes = False, 0
        if self.cfg.is_ssl:  # only the thread can decrypt what arrives
            super().enqueue_req(conn)
            return
        if not conn.initialized:
            conn.init()
            conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, RECEIVE_TIMEOUT)
        conn.sock.setblocking(False)
        self._incoming[conn] = IncomingRequest(self.cfg, self._limits)
        if buffered := conn.parser.unreader.take_buffered():
            self._take(conn, buffered)
        else:
            self._receive(conn)
        if conn in self._incoming:  # it is not complete yet
            self._listen(conn, self._receive)

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Handle a request in a thread; give up when its client does not read the response."""
        conn.sock.settimeout(bounds.RESPONSE_TIMEOUT_SECONDS)
        if conn.is_last_request:  # the rest of its body is no request
            req.force_close()
        try:
            return bool(super().handle_request(req, conn))
        except TimeoutError:
            cut("response", "timeout")
            return False

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Keep a connection or close it; gunicorn would wait in the loop for the other half."""
        self._received_bytes -= conn.held_bytes
        if not fs.cancelled() and fs.exception() is None and fs.result():
            super().finish_request(conn, fs)
        else:
            self._close(conn)

    def murder_pending(self) -> None:
        """Cut what has taken too long; the loop calls this once a second, or more often."""
        super().murder_pending()
        if self.nr_conns >= self.worker_connections:
            self._make_room()
        now = time.monotonic()
        if now < self._check_after:
            return
        self._check_after = now + CHECK_SECONDS
        for conn, request in list(self._incoming.items()):
            if now > request.deadline:
                self._time_out(conn, request)
        for conn, until in list(self._closing.items()):
            if now > until:
                self._forget(conn)

    def _time_out(self, conn: Any, request: IncomingRequest) -> None:
        cut(request.missing, "timeout")
        if request.data:
            self._refuse(conn, 408, f"The {request.missing} of the request took too long.")
        else:
            self._close(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Close connections without a request soon when the worker stops."""
        super()._cap_keepalive(deadline)
        for request in self._incoming.values():
            if not request.data:
                request.deadline = min(request.deadline, deadline)

    def _receive(self, conn: Any) -> None:
        data = received_from(conn.sock)
        if data:
            self._take(conn, data)
        elif data is not None:
            self._forget(conn)

    def _take(self, conn: Any, data: bytes) -> None:
        request = self._incoming[conn]
        before = request.received
        answer = request.feed(data)
        self._received_bytes += request.received - before
        if answer:
            self._send(conn, answer)
        if request.has_large_head:
            cut("head", "size")
            self._refuse(conn, 431, "The head of the request is too large.")
        elif request.has_malformed_body:
            self._refuse(conn, 400, "The body of the request cannot be parsed.")
        elif self._received_bytes > bounds.MAX_BODIES_BYTES and request.takes_memory:
            cut(request.missing, "memory")
            self._refuse(conn, 503, "Too many large requests at once. Please try again.")
        elif request.is_complete or request.is_hopeless:
            self._dispatch(conn)

    def _dispatch(self, conn: Any) -> None:
        request = self._stop_receiving(conn)
        conn.held_bytes = request.received
        self._received_bytes += conn.held_bytes
        if not request.is_complete:  # the thread must not wait for what is missing
            conn.is_last_request = True
            conn.parser.unreader.chunk = lambda *_: b""
        conn.parser.unreader.unread(bytes(request.data))
        conn.data_ready = True
        super().enqueue_req(conn)

    def _stop_receiving(self, conn: Any) -> IncomingRequest:
        self._unlisten(conn)
        request = self._incoming.pop(conn)
        self._received_bytes -= request.received
        return request

    def _listen(self, conn: Any, callback: Callable[[Any], None]) -> None:
        """Call ``callback`` with the connection when it is readable."""
        self.poller.register(conn.sock, selectors.EVENT_READ, lambda _: callback(conn))
        self._listened.add(conn)

    def _unlisten(self, conn: Any) -> None:
        if conn in self._listened:
            self._listened.discard(conn)
            self.poller.unregister(conn.sock)

    def _refuse(self, conn: Any, status: int, detail: str) -> None:
        """Respond with an error and close the connection."""
        self._send(conn, early_response(status, detail))
        self._close(conn)

    def _send(self, conn: Any, data: bytes) -> None:
        with contextlib.suppress(OSError):  # a client that does not read gets nothing
            conn.sock.send(data)

    def _close(self, conn: Any) -> None:
        """Close our half of a connection, and the whole when the client has closed its half."""
        if conn in self._incoming:
            self._stop_receiving(conn)
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self._listen(conn, self._drain)
            self._closing[conn] = time.monotonic() + bounds.LINGER_SECONDS
        except (OSError, ValueError, KeyError):
            self._forget(conn)

    def _drain(self, conn: Any) -> None:
        """Discard what still arrives; forget the connection at its end."""
        if received_from(conn.sock) == b"":
            self._forget(conn)

    def _forget(self, conn: Any) -> None:
        if conn in self._incoming:
            self._stop_receiving(conn)
        self._closing.pop(conn, None)
        self._unlisten(conn)
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> None:
        """Close connections: those idle for longest, or else the oldest incomplete requests."""
        count = max(1, self.nr_conns // EVICTED_SHARE)
        silent = [conn for conn, request in self._incoming.items() if not request.data]
        chosen = [*self._closing, *silent]
        if not chosen and self.keepalived_conns:
            for conn in list(self.keepalived_conns)[:count]:
                cut("connection", "capacity")
                conn.timeout = 0.0
            self.murder_keepalived()
            return
        for conn in (chosen or list(self._incoming))[:count]:
            cut("connection", "capacity")
            self._forget(conn)
