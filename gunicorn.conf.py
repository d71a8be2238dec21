"""How gunicorn runs the service; HOST, PORT and WEB_CONCURRENCY come from the environment.

For `gunicorn wsgi:app`, and for `gunicorn -k asgi --reuse-port asgi:app`.
"""

import contextlib
import gc
import logging
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from typing import Any

# Set before anything imports prometheus_client, which looks at it once.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="bookstall-metrics-")
    # This file is read again at each reload.
    os.environ["BOOKSTALL_METRICS_MADE_BY"] = str(os.getpid())

from prometheus_client.multiprocess import mark_process_dead

from app.config import THREADS, cautions, from_env
from app.live.gunicorn_shutdown import Leaving
from app.logging import init_logging

_settings = from_env()

# Taken over by the connections: how much a client that does not read lets pile up, and after how
# many milliseconds without a sign from it the kernel gives it up.
LINE_OPTIONS = {(socket.SOL_SOCKET, socket.SO_SNDBUF): 131_072}
if hasattr(socket, "TCP_USER_TIMEOUT"):
    LINE_OPTIONS[(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)] = 30_000

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "gthread"
# The asgi worker has threads of its own, and warns of this setting.
threads = 1 if "asgi:app" in sys.argv else THREADS
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
# Of a WebSocket; a review of the longest text fits in.
websocket_max_message_size = 131_072
# The service writes its own line for each request.
accesslog = None
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Warn once, not in each worker; allow as many open connections as the host does."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS names no bound, and takes none so large
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    init_logging(_settings)
    for caution in cautions(_settings):
        logging.getLogger("app").warning(caution)


def post_worker_init(worker: Any) -> None:
    """Let a worker of lines send its clients elsewhere before it ends, and bound what they hold."""
    # What is loaded stays: without this each full collection would walk through all of it.
    gc.collect()
    gc.freeze()
    live = getattr(worker, "asgi", None)
    if live is None:
        return
    worker.loop.add_signal_handler(signal.SIGTERM, Leaving(worker, live).begin)
    for listener in worker.sockets:
        for option, value in LINE_OPTIONS.items():
            listener.sock.setsockopt(*option, value)


def child_exit(server: Any, worker: Any) -> None:
    """Count a worker's open lines no more."""
    mark_process_dead(worker.pid)


def when_ready(server: Any) -> None:
    """Say where to look."""
    address = f"http://{bind}"
    sys.stderr.write(f"Bookstall answers on {address}, its documentation on {address}/docs\n")


def on_exit(server: Any) -> None:
    """Leave no folder behind."""
    if os.environ.get("BOOKSTALL_METRICS_MADE_BY") == str(os.getpid()):
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
