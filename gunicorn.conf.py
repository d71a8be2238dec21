"""Settings of gunicorn, for `gunicorn wsgi:app` and `gunicorn -k asgi --reuse-port asgi:app`.

HOST, PORT and WEB_CONCURRENCY come from the environment.
"""

import contextlib
import gc
import logging
import os
import resource
import shutil
import socket
import sys
import tempfile
from typing import Any

# Must be set before prometheus_client is imported, which reads it once.
if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp(prefix="bookstall-metrics-")
    # A reload reads this file again: only the process that made the folder removes it.
    os.environ["BOOKSTALL_METRICS_MADE_BY"] = str(os.getpid())

from prometheus_client.multiprocess import mark_process_dead

from app.config import THREADS, from_env, startup_warnings
from app.server.asgi_adapter import AsgiWorker, application_of
from app.server.shutdown import GracefulShutdown
from app.logging import init_logging

_settings = from_env()

# Inherited by accepted connections: the bytes that the kernel buffers for a client, and the
# milliseconds without an acknowledgement after which it drops the connection.
LISTENER_OPTIONS = {(socket.SOL_SOCKET, socket.SO_SNDBUF): 131_072}
if hasattr(socket, "TCP_USER_TIMEOUT"):
    LISTENER_OPTIONS[(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)] = 30_000

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "gthread"
# The asgi worker has a thread pool of its own and warns about this setting.
threads = 1 if "asgi:app" in sys.argv else THREADS
# A little longer than the 60 s after which common proxies close an idle connection.
keepalive = 65
# A worker that is blocked for this long is replaced.
timeout = 30
# Time to complete running requests after SIGTERM.
graceful_timeout = 30
# Heartbeat files in memory: a slow disk must not look like a blocked worker.
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: PTH112, S108
control_socket_disable = True
# The maximum of gunicorn: percent-encoded searches for long non-ASCII names are long.
limit_request_line = 8190
# Room for a review with the longest text.
websocket_max_message_size = 131_072
# The service writes its own access log.
accesslog = None
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Log warnings once, not in each worker; raise the limit of open files to its maximum."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS reports "unlimited" but rejects it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    init_logging(_settings)
    for warning in startup_warnings(_settings):
        logging.getLogger("app").warning(warning)


def post_worker_init(worker: Any) -> None:
    """Freeze what is loaded; give an asgi worker its shutdown and its socket options."""
    # Loaded modules stay in memory: freeze them, so that full collections skip them.
    gc.collect()
    gc.freeze()
    app = application_of(worker)
    if app is None:
        return
    asgi_worker = AsgiWorker(worker)
    GracefulShutdown(asgi_worker, app.shut_down)
    for listener in asgi_worker.listeners:
        for option, value in LISTENER_OPTIONS.items():
            listener.setsockopt(*option, value)


def child_exit(server: Any, worker: Any) -> None:
    """Stop counting the open connections of a worker that has exited."""
    mark_process_dead(worker.pid)


def when_ready(server: Any) -> None:
    """Print the URL of the service."""
    address = f"http://{bind}"
    sys.stderr.write(f"Bookstall listens on {address}, its documentation is at {address}/docs\n")


def on_exit(server: Any) -> None:
    """Remove the folder of the metrics."""
    if os.environ.get("BOOKSTALL_METRICS_MADE_BY") == str(os.getpid()):
        shutil.rmtree(os.environ["PROMETHEUS_MULTIPROC_DIR"], ignore_errors=True)
