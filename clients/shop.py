"""A service to be a client of: two of them on one SQLite database, one of which may go away."""

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


class Shop(Service):
    """The service, as it is started for GraphQL, or plain if told so."""

    def __init__(self, url: str, application: str = ASGI, **settings: str) -> None:
        super().__init__(application, 2, DATABASE_URL=url, **settings)
        self.words = ["--worker-class", "asgi", "--reuse-port"] if application == ASGI else []

    @property
    def address(self) -> str:
        """Return where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """Return the words that start gunicorn, with the worker that the application needs."""
        return [*super().command(), *self.words]

    def crash(self) -> None:
        """Kill the master and all its workers at once."""
        if self.pid is not None:
            os.killpg(self.pid, signal.SIGKILL)
        self.kill()

    def post(self, path: str, body: dict[str, Any], key: str = "") -> dict[str, Any]:
        """Send JSON on a connection of its own, and return what was made."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{path}: {said}")
        return said


def review(number: int, text: str = "") -> dict[str, Any]:
    """Return a review that can be told from others."""
    return {
        "rating": 1 + number % 5,
        "reviewer": f"Reader {number}",
        "text": text or f"No. {number}",
    }


@contextmanager
def database() -> Iterator[str]:
    """Make a migrated SQLite database in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="bookstall-") as folder:
        url = f"sqlite:///{Path(folder) / 'shop.db'}"
        migrate(url)
        yield url


def new_key(url: str, *scopes: str) -> str:
    """Make an API key."""
    words = [sys.executable, "-m", "flask", "--app", "wsgi", "keys", "create", "client"]
    asked = [word for scope in scopes for word in ("--scope", scope)]
    done = subprocess.run(
        [*words, *asked],
        env=environment(DATABASE_URL=url),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()
