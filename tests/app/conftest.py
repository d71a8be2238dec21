"""The service as it is run: gunicorn in a process of its own, on a free port of 127.0.0.1."""

import http.client
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stack.process import Server

ROOT = Path(__file__).parents[2]


class Gunicorn(Server):
    """The service, with the settings that its environment gives it."""

    def __init__(self, **settings: str) -> None:
        super().__init__()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "SECRET_KEY": "a secret of the tests",
            "LOG_FORMAT": "json",
            "RATE_LIMIT_READ": "off",
            "RATE_LIMIT_WRITE": "off",
            "PORT": str(self.port),
            **settings,
        }

    def command(self) -> list[str]:
        config = str(ROOT / "gunicorn.conf.py")
        return [sys.executable, "-m", "gunicorn", "--chdir", str(ROOT), "-c", config, "wsgi:app"]

    def identity(self) -> Mapping[str, Any]:
        return {"env": self.environment}

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Return status, headers and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def terminate(self) -> None:
        """Ask for the end, and do not wait for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def reload(self) -> None:
        """Ask for new workers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def workers(self) -> set[int]:
        """Return the process ids of the workers."""
        assert self._process is not None
        master = self._process.pid
        return {
            int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()
        }

    def ended(self) -> int:
        """Wait for the end, and return the exit code."""
        assert self._process is not None
        return self._process.wait(20)


@pytest.fixture
def serve() -> Iterator[Callable[..., Gunicorn]]:
    """A factory of running services."""
    running: list[Gunicorn] = []

    def start(**settings: str) -> Gunicorn:
        running.append(Gunicorn(**settings))
        running[-1].start()
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture(scope="module")
def served(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    """One running service with two workers for all tests of a module."""
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("served") / "bookstall.db")
    with Gunicorn(DATABASE_URL=f"sqlite:///{path}") as server:
        yield server
