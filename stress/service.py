"""An application under gunicorn with the settings of gunicorn.conf.py, on 127.0.0.1."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from stack.process import Server
from stress.http_client import HttpConnection, get

ROOT = Path(__file__).resolve().parent.parent
# Requests are counted as in production, against a quota that is never reached.
HIGH_LIMIT = "100000000/minute"
SECRET = "only for this measurement"
CLEARED = (
    "DATABASE_URL",
    "DATABASE_READ_URL",
    "REDIS_URL",
    "PROMETHEUS_MULTIPROC_DIR",
    "CACHE_TTL",
    "LOG_FORMAT",
)


class Service(Server):
    """Run a WSGI application under gunicorn; its log is written to a file."""

    def __init__(self, application: str = "wsgi:app", workers: int = 1, /, **settings: str) -> None:
        super().__init__()
        self._application = application
        self._settings = {**settings, "WEB_CONCURRENCY": str(workers)}

    def command(self) -> list[str]:
        """Return the command line of gunicorn."""
        config = str(ROOT / "gunicorn.conf.py")
        return [sys.executable, "-m", "gunicorn", "-c", config, self._application]

    def popen_options(self) -> Mapping[str, Any]:
        """Return the environment."""
        return {"env": environment(HOST=self.host, PORT=str(self.port), **self._settings)}

    def is_ready(self) -> bool:
        """Return whether a request gets any response."""
        try:
            with closing(HttpConnection(self.port, host=self.host)) as connection:
                connection.request(get("/healthz"))
        except OSError:
            return False
        return True

    @property
    def master(self) -> int:
        """Return the process id of the master."""
        return self._master().pid

    def workers(self) -> list[int]:
        """Return the process ids of the current workers."""
        master = self.master
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in children.split()]

    def signal(self, number: signal.Signals) -> None:
        """Send the master a signal."""
        self._master().send_signal(number)

    def reload(self) -> None:
        """Tell the master to replace all workers gracefully."""
        self.signal(signal.SIGHUP)

    def terminate(self) -> None:
        """Tell the master to stop gracefully, without waiting for it."""
        self.signal(signal.SIGTERM)

    def adopt(self, master: int) -> None:
        """Stop at the end the master that has taken over from the first one, which has ended."""
        self._process = None
        if self._watchdog:
            self._watchdog.watch(master)

    def wait(self) -> int:
        """Wait until the master has ended, and return its exit code."""
        return self._master().wait(self.timeout + 10)

    def _master(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the service is not running")
        return self._process


class LiveService(Service):
    """Run an ASGI application under gunicorn's asgi worker; its workers share the port."""

    def __init__(self, application: str = "asgi:app", workers: int = 1, /, **settings: str) -> None:
        super().__init__(application, workers, **settings)

    def command(self) -> list[str]:
        """Return the command line of gunicorn."""
        *arguments, application = super().command()
        # The number of threads is for the gthread worker: gunicorn would warn of it here.
        return [*arguments, "-k", "asgi", "--reuse-port", "--threads", "1", application]


def serving(master: int) -> int:
    """Return how many workers of a master have sent a heartbeat, which is the time of a file."""
    count = 0
    for file in Path(f"/proc/{master}/fd").iterdir():
        with suppress(OSError):  # it may have been closed
            if "wgunicorn-" in str(file.readlink()):
                count += file.stat().st_mtime <= time.monotonic()
    return count


def environment(**settings: str) -> dict[str, str]:
    """Return the environment with ``settings``, without those of the calling process."""
    inherited = {name: value for name, value in os.environ.items() if name not in CLEARED}
    defaults = {
        "PYTHONPATH": str(ROOT),
        "SECRET_KEY": SECRET,
        "HOST": "127.0.0.1",
        "RATE_LIMIT_READ": HIGH_LIMIT,
        "RATE_LIMIT_WRITE": HIGH_LIMIT,
    }
    return {**inherited, **defaults, **settings}
