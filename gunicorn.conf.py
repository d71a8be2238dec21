"""Settings of gunicorn, for `gunicorn wsgi:app` and `gunicorn -k asgi --reuse-port asgi:app`.

HOST, PORT and WEB_CONCURRENCY come from the environment.
"""

import contextlib
import gc
import logging
import os
import resource
import socket
import sys
from typing import Any

# SIGHUP reads this file again in the same process, whose workers inherit these modules: they must
# be those of the new code too.
for _module in [name for name in sys.modules if name.partition(".")[0] == "app"]:
    del sys.modules[_module]

# ruff: noqa: E402  # these imports are to come after that
from app import run_folder
from app.config import THREADS, from_env, startup_warnings
from app.logging import JsonFormatter, init_logging
from app.server.addresses import announcement, check_addresses, is_port
from app.server.arbiter_adapter import (
    WorkerReplacement,
    has_inherited_listeners,
    listen,
    listening_addresses,
    prepare_upgrade,
    receive_stop_signals,
    repeat_command,
)
from app.server.asgi_adapter import AsgiWorker, application_of
from app.server.bounds import RESPONSE_TIMEOUT_SECONDS, RefusalFilter, connection_limit
from app.server.shutdown import (
    GracefulShutdown,
    end_exports_at_sigterm,
    exit_at_sigquit,
    stop_with_master,
)

_settings = from_env()

# Inherited by accepted connections: the bytes that the kernel buffers for a client, and the
# milliseconds without an acknowledgement after which it drops the connection.
LISTENER_OPTIONS = {(socket.SOL_SOCKET, socket.SO_SNDBUF): 131_072}
if hasattr(socket, "TCP_USER_TIMEOUT"):
    LISTENER_OPTIONS[(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)] = 30_000

_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host
bind = f"{_host}:{_settings.port}"
workers = _settings.web_concurrency
worker_class = "app.server.wsgi_worker.BufferingWorker"
# For wsgi.py; under asgi app/server/asgi_adapter.py sets the limit.
worker_connections = connection_limit(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 1_000)
# The asgi worker has a thread pool of its own and warns about this setting.
threads = 1 if "asgi:app" in sys.argv else THREADS
# gunicorn would take it by itself, but say nothing if it were missing.
asgi_loop = "uvloop"
# gunicorn's parser in C, if the extra `fast` is installed. Under wsgi it reports other statuses.
http_parser = "auto" if "asgi:app" in sys.argv else "python"
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
# A client of a proxy that passes these headers on must not set the path of the service.
forwarder_headers = ""
# Room for a review with the longest text.
websocket_max_message_size = 131_072
# The service writes its own access log.
accesslog = None
loglevel = "warning"


def on_starting(server: Any) -> None:
    """Prepare what all workers share; exit with one line if the address is not free."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS reports "unlimited" but rejects it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    inherited = has_inherited_listeners()
    adjust(server)
    if not inherited:
        check_addresses(server.cfg.address, reuse_port=server.cfg.reuse_port)
    prepare_upgrade()
    run_folder.create()
    WorkerReplacement(server)
    init_logging(_settings)
    logging.getLogger("gunicorn.error").addFilter(RefusalFilter(logging.getLogger("app.server")))
    if server.cfg.worker_class_str.startswith("app.") and not _settings.trusted_proxies:
        message = (
            "wsgi.py needs a buffering proxy before it (docs/bounds.md), and TRUSTED_PROXIES: each"
            " client that does not read its response may occupy one of %d threads for %d s"
        )
        logging.getLogger("app").warning(message, threads, RESPONSE_TIMEOUT_SECONDS)
    for warning in startup_warnings(_settings):
        logging.getLogger("app").warning(warning)


def on_reload(server: Any) -> None:
    """Repeat what a reload of the configuration has undone."""
    adjust(server)


def adjust(server: Any) -> None:
    """Change what gunicorn has set up."""
    # The listeners of workers cannot share a path or an inherited socket: the master opens those.
    if "LISTEN_FDS" in os.environ or not all(map(is_port, server.cfg.address)):
        server.cfg.set("reuse_port", False)
    for name in ("gunicorn.error", "gunicorn.access"):  # gunicorn's own lines are in text
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def pre_exec(server: Any) -> None:
    """Prepare the command of the master that takes over (SIGUSR2)."""
    repeat_command(server)


def post_worker_init(worker: Any) -> None:
    """Freeze what is loaded; give an asgi worker its shutdown and its socket options."""
    # Loaded modules stay in memory: freeze them, so that full collections skip them.
    gc.collect()
    gc.freeze()
    # Imported here, as below.
    from app.server.metrics import start_gauges  # noqa: PLC0415

    stop_with_master(worker)
    app = application_of(worker)
    start_gauges(app or worker.wsgi)
    if app is None:
        end_exports_at_sigterm(worker)
        exit_at_sigquit(worker)
        if worker.cfg.reuse_port:
            listen(worker)
        receive_stop_signals()
        return
    worker.loop.call_soon(receive_stop_signals)  # uvloop loses them before it runs
    asgi_worker = AsgiWorker(worker)
    GracefulShutdown(asgi_worker, app.shut_down)
    for listener in asgi_worker.listeners:
        for option, value in LISTENER_OPTIONS.items():
            with contextlib.suppress(OSError):  # a Unix socket has none of TCP
                listener.setsockopt(*option, value)


def child_exit(server: Any, worker: Any) -> None:
    """Stop counting the open connections of a worker that has exited."""
    # Imported here: prometheus_client reads PROMETHEUS_MULTIPROC_DIR when it is imported.
    from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415

    mark_process_dead(worker.pid)


def when_ready(server: Any) -> None:
    """Print the URL of the service."""
    scheme = "https" if server.cfg.is_ssl else "http"
    line = announcement(listening_addresses(server), scheme)
    if _settings.log_format == "json":
        # Not logged: that would start a thread, which the workers would not inherit.
        record = {"name": "app", "levelname": "INFO", "msg": line}
        line = JsonFormatter().format(logging.makeLogRecord(record))
    sys.stderr.write(f"{line}\n")
