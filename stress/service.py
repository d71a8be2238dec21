"""A WSGI application under the project's own gunicorn settings, on a free port of 127.0.0.1."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.load import ROOT
from stack.process import Server
from stress.http_client import Wire, get

# Limits are counted as in a shop, and too high to be met.
PLENTY = "100000000/minute"
SECRET = "only for this measurement"
CLEARED = ("DATABASE_URL", "REDIS_URL", "PROMETHEUS_MULTIPROC_DIR", "CACHE_TTL", "LOG_FORMAT")


class Service(Server):
    """Run gunicorn with gunicorn.conf.py; its log goes to a file, as behind a collector."""

    def __init__(self, application: str = "wsgi:app", workers: int = 1, **settings: str) -> None:
        super().__init__()
        self._application = application
        self._settings = {**settings, "WEB_CONCURRENCY": str(workers)}

    def command(self) -> list[str]:
        """Return the words that start gunicorn."""
        conf = str(ROOT / "gunicorn.conf.py")
        return [sys.executable, "-m", "gunicorn", "-c", conf, self._application]

    def popen_options(self) -> Mapping[str, Any]:
        """Give it its settings, and our code before any that is installed."""
        return {"env": environment(PORT=str(self.port), **self._settings)}

    def workers(self) -> list[int]:
        """Return the process ids of the workers that there are now."""
        master = self._master().pid
        children = Path(f"/proc/{master}/task/{master}/children").read_text()
        return [int(pid) for pid in children.split()]

    def reload(self) -> None:
        """Tell the master to replace all workers when they have answered."""
        self._master().send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        """Tell the master to end, and do not wait for it."""
        self._master().send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """Wait for the end, and return the exit code."""
        return self._master().wait(self.timeout + 10)

    def _master(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise RuntimeError("the service is not running")
        return self._process

    def is_ready(self) -> bool:
        """Ask for anything; any answer will do."""
        try:
            with closing(Wire(self.port)) as wire:
                wire.ask(get("/healthz"))
        except OSError:
            return False
        return True


class LiveService(Service):
    """Run asgi.py, or another application of its kind; its workers share the port."""

    def __init__(self, application: str = "asgi:app", workers: int = 1, **settings: str) -> None:
        super().__init__(application, workers, **settings)

    def command(self) -> list[str]:
        """Return the words that start gunicorn."""
        *words, application = super().command()
        # The setting of threads is for the other worker: gunicorn would warn of it.
        return [*words, "-k", "asgi", "--reuse-port", "--threads", "1", application]


def environment(**settings: str) -> dict[str, str]:
    """Return the environment with ``settings``, and none that the caller happens to have."""
    kept = {name: value for name, value in os.environ.items() if name not in CLEARED}
    ours = {
        "PYTHONPATH": str(ROOT),
        "SECRET_KEY": SECRET,
        "HOST": "127.0.0.1",
        "RATE_LIMIT_READ": PLENTY,
        "RATE_LIMIT_WRITE": PLENTY,
    }
    return {**kept, **ours, **settings}
