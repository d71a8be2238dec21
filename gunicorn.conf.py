"""How gunicorn runs the service; HOST, PORT and WEB_CONCURRENCY come from the environment."""

import logging
import os
import shutil
import sys
import tempfile
from typing import Any

# Set before anything imports prometheus_client, which looks at it once.
_made = "PROMETHEUS_MULTIPROC_DIR" not in os.environ
if _made:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="bookstall-metrics-")

from prometheus_client.multiprocess import mark_process_dead  # noqa: E402

from app.config import THREADS, cautions, from_env  # noqa: E402
from app.logs import init_logging  # noqa: E402

_settings = from_env()

bind = f"{_settings.host}:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "gthread"
threads = THREADS
# Kept open a little longer than the 60 s after which common proxies drop an idle connection.
keepalive = 65
# A worker that answers nobody for so long is replaced.
timeout = 30
# Requests at work are finished after SIGTERM.
graceful_timeout = 30
# Heartbeats in memory: a slow disk must not look like a dead worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108
control_socket_disable = True
# The service writes its own line for each request.
accesslog = None
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Warn once, not in each worker."""
    init_logging(_settings)
    for caution in cautions(_settings):
        logging.getLogger("app").warning(caution)


def when_ready(server: Any) -> None:
    """Say where to look."""
    address = f"http://{_settings.host}:{_settings.port}"
    sys.stderr.write(f"Bookstall answers on {address}, its documentation on {address}/docs\n")


def child_exit(server: Any, worker: Any) -> None:
    """Fold the figures of a worker that ended into the totals."""
    mark_process_dead(worker.pid)


def on_exit(server: Any) -> None:
    """Leave no folder behind."""
    if _made:
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
