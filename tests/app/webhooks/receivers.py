"""Receivers of webhooks, in this process, that behave as a test wants."""

import json
import ssl
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

from standardwebhooks.webhooks import Webhook as Verifier

from tests.waiting import PATIENCE, wait_until

HANG = 0
"""In the place of a status: no response until the receiver is closed."""
SLOW_BODY = -1
"""A head at once, and then a body that never ends."""
Choose = Callable[[dict[str, Any]], int]


class Receiver:
    """An HTTP server on 127.0.0.1 that keeps what it got, and whether its signature is right."""

    def __init__(self, choose: Choose = lambda _: 200, tls: ssl.SSLContext | None = None) -> None:
        self.choose = choose
        self.secret = ""
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []
        """All events, in the order of their arrival, each with its headers."""
        self.accepted: list[str] = []
        """The ``webhook-id`` of those that got a 200."""
        self.connections = 0
        self.closing = Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/hook?a=1"
        Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int) -> list[str]:
        """Wait until so many events were accepted; return all ids."""
        wait_until(lambda: len(self.accepted) >= count, PATIENCE)
        return self.accepted

    def take(self, headers: dict[str, str], path: str, body: bytes) -> int:
        """Note a request, and return the status of the response."""
        if self.secret:
            Verifier(self.secret).verify(body, headers)
        message = {**json.loads(body), "headers": headers, "path": path}
        status = self.choose(message)
        self.requests.append(message)
        if status == 200:  # last: tests wait for it
            self.accepted.append(headers["webhook-id"])
        return status


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, receiver: Receiver, *arguments: Any) -> None:
        self._receiver = receiver
        receiver.connections += 1
        super().__init__(*arguments)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        status = self._receiver.take(headers, self.path, body)
        if status == HANG:
            self._receiver.closing.wait()
            self.close_connection = True
            return
        self.send_response(200 if status == SLOW_BODY else status)
        for name, value in self._receiver.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "1000000" if status == SLOW_BODY else "0")
        self.end_headers()
        while status == SLOW_BODY and not self._receiver.closing.wait(0.05):
            self.wfile.write(b"x")

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass
