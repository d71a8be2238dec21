"""How gunicorn runs the service; HOST, PORT and WEB_CONCURRENCY come from the environment."""

import logging
import os
import shutil
import sys
import tempfile
from typing import Any

# Set before anything imports prometheus_client, which looks at it once.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="bookstall-metrics-")
    # This file is read again at each reload.
    os.environ["BOOKSTALL_METRICS_MADE_BY"] = str(os.getpid())

from app.config import THREADS, cautions, from_env
from app.logs import init_logging

_settings = from_env()

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
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
# The longest that gunicorn takes: searches for long names beyond ASCII are long when encoded.
limit_request_line = 8190
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
    address = f"http://{bind}"
    sys.stderr.write(f"Bookstall answers on {address}, its documentation on {address}/docs\n")


def on_exit(server: Any) -> None:
    """Leave no folder behind."""
    if os.environ.get("BOOKSTALL_METRICS_MADE_BY") == str(os.getpid()):
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
