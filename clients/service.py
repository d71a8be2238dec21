"""The service that the clients use; two of them share one SQLite database."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stress.data import migrate
from stress.service import ROOT, Service, environment

ASGI = "asgi:app"
WSGI = "wsgi:app"


class Bookstall(Service):
    """The service: `asgi:app`, or `wsgi:app` without subscriptions."""

    def __init__(self, url: str, application: str = ASGI, **settings: str) -> None:
        super().__init__(application, 2, DATABASE_URL=url, **settings)
        self._options = ["--worker-class", "asgi", "--reuse-port"] if application == ASGI else []

    @property
    def address(self) -> str:
        """Return the base URL."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return the command line of gunicorn, with the worker that the application needs."""
        return [*super().command(), *self._options]

    def crash(self) -> None:
        """Kill the master and all its workers at once."""
        if self.pid is not None:
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()

    def post(self, path: str, body: dict[str, Any], key: str = "") -> dict[str, Any]:
        """Send JSON on a new connection, and return the created resource."""
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return self._request("POST", path, json.dumps(body), headers)

    def get(self, path: str) -> dict[str, Any]:
        """Return a resource."""
        return self._request("GET", path, None, {})

    def _request(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> dict[str, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            document: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{path}: {document}")
        return document


def review(number: int, text: str = "") -> dict[str, Any]:
    """Return a distinguishable review."""
    return {
        "rating": 1 + number % 5,
        "reviewer": f"Reader {number}",
        "text": text or f"No. {number}",
    }


@contextmanager
def database() -> Iterator[str]:
    """Create a migrated SQLite database in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bookstall-") as folder:
        url = f"sqlite:///{Path(folder) / 'bookstall.db'}"
        migrate(url)
        yield url


def new_key(url: str, *scopes: str) -> str:
    """Create an API key."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "create", "client"]
    options = [part for scope in scopes for part in ("--scope", scope)]
    completed = subprocess.run(
        [*command, *options],
        env=environment(DATABASE_URL=url),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return completed.stdout.strip()
