"""The service under gunicorn, as the tests start it."""

import http.client
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import psutil

from stack.process import Server
from stress.service import ROOT, LiveService, Service
from tests.waiting import PATIENCE, wait_until

SECRET = "a secret of the tests"


def signal_all_processes(server: Server, number: signal.Signals) -> None:
    """Send a signal to the process of a server, and to its children."""
    process = psutil.Process(server.pid)
    process.send_signal(number)
    for child in process.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # that of a connection may have ended
            child.send_signal(number)


class _Requests(Server):
    """Adds requests to a service, and an environment of its own."""

    environment: dict[str, str]

    def set_environment(self, settings: Mapping[str, str]) -> None:
        """Give the service ``settings``, and of this process's environment only the basics."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "SECRET_KEY": SECRET,
            "LOG_FORMAT": "json",
            "RATE_LIMIT_READ": "off",
            "RATE_LIMIT_WRITE": "off",
            "PORT": str(self.port),
            **settings,
        }

    def popen_options(self) -> Mapping[str, Any]:
        return {"env": self.environment}

    def is_ready(self) -> bool:
        try:
            return self.request("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def log_lines(self) -> list[str]:
        """Return the lines of the log that are complete: a worker may be writing the last one."""
        return self.log.read_text().split("\n")[:-1]

    def records(self) -> list[Any]:
        """Return the records of the log."""
        return [json.loads(line) for line in self.log_lines()]

    def request(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Return status, headers and body of one request on its own connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def insist(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Do as ``request``, again while the response is a 503.

        On a busy machine a writer may wait too long for the locks of others, and writes nothing.
        """

        def response() -> Any:
            received = self.request(method, path, body, **headers)
            return None if received[0] == HTTPStatus.SERVICE_UNAVAILABLE else received

        return wait_until(response)


class Gunicorn(_Requests, Service):
    """`gunicorn wsgi:app`, in the folder of the project."""

    def __init__(self, **settings: str) -> None:
        super().__init__()
        self.set_environment(settings)

    def command(self) -> list[str]:
        return [*super().command(), "--chdir", str(ROOT)]


class LiveGunicorn(_Requests, LiveService):
    """`gunicorn -k asgi --reuse-port asgi:app`, as `make run` starts it."""

    def __init__(self, **settings: str) -> None:
        super().__init__()
        self.set_environment(settings)

    def command(self) -> list[str]:
        return [*super().command(), "--chdir", str(ROOT)]

    def cursor(self) -> str:
        """Return the cursor of the newest event."""
        status, _, body = self.request("POST", "/graphql", b'{"query": "{ eventCursor }"}')
        assert status == 200, body
        return str(json.loads(body)["data"]["eventCursor"])
