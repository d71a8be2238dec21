"""Everything that we use of gunicorn's master process beyond its documentation."""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gunicorn import sock, systemd, util
from gunicorn.errors import HaltServer

PRIVATE_NAMES = (
    "gunicorn.arbiter:Arbiter.LISTENERS",
    "gunicorn.arbiter:Arbiter.START_CTX",
    "gunicorn.arbiter:Arbiter.WORKERS",
    "gunicorn.arbiter:Arbiter.app",
    "gunicorn.arbiter:Arbiter.handle_hup",
    "gunicorn.arbiter:Arbiter.kill_worker",
    "gunicorn.arbiter:Arbiter.manage_workers",
    "gunicorn.arbiter:Arbiter.master_pid",
    "gunicorn.arbiter:Arbiter.num_workers",
    "gunicorn.arbiter:Arbiter.reap_workers",
    "gunicorn.arbiter:Arbiter.spawn_worker",
    "gunicorn.arbiter:Arbiter.worker_age",
    "gunicorn.app.base:BaseApplication.reload",
    "gunicorn.sock:BaseSocket._is_listening",
    "gunicorn.systemd:listen_fds",
    "gunicorn.util:is_ipv6",
    "gunicorn.workers.base:Worker.age",
    "gunicorn.workers.workertmp:WorkerTmp.last_update",
)
BOOT_ERRORS = (3, 4)
"""Exit codes of a worker that could not start: the master stops the service at either."""
BOOT_SECONDS = 60
"""A new worker that does not serve by then is ended; the old ones go on."""
RETRY_SECONDS = 10
"""The pause after a worker that could not start, while others serve."""
POLL_SECONDS = 0.05
STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
log = logging.getLogger(__name__)


def family_of(address: Any) -> socket.AddressFamily:
    """Return the address family that gunicorn uses for an address of its settings."""
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET6 if util.is_ipv6(address[0]) else socket.AF_INET


def listening_addresses(server: Any) -> list[Any]:
    """Return a host and port, or the path of a Unix socket, for each listener."""
    # With --reuse-port the listeners are in the workers.
    return [each.getsockname() for each in server.LISTENERS] or server.cfg.address


def has_inherited_listeners() -> bool:
    """Return whether systemd or an older master (SIGUSR2) holds the addresses for this one."""
    return "GUNICORN_PID" in os.environ or systemd.listen_fds(unset_environment=False) > 0


def repeat_command(server: Any) -> None:
    """Let the next master run as this one did, also after `python -m gunicorn`.

    gunicorn would run its `__main__.py` as a script, whose folder hides modules of Python.
    """
    words = server.START_CTX["args"]
    if words[1].endswith("__main__.py"):
        words[1:2] = ["-m", "gunicorn"]


def prepare_upgrade() -> None:
    """Let gunicorn take over from a master that has no listeners of its own (--reuse-port)."""
    if os.environ.get("GUNICORN_FD") == "":
        os.environ["GUNICORN_FD"] = "0"  # not used, but parsed as numbers


class WorkerReplacement:
    """Lets the old workers serve until the new ones can.

    gunicorn ends the old workers as soon as it has forked the new ones, which then import the
    application for seconds; and it stops the service if one of them cannot.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._starting: dict[int, Any] = {}
        self._retry_at = 0.0
        self._spawn, server.spawn_worker = server.spawn_worker, self._spawn_worker
        self._manage, server.manage_workers = server.manage_workers, self._manage_workers
        self._hup, server.handle_hup = server.handle_hup, self._handle_hup
        self._reap, server.reap_workers = server.reap_workers, self._reap_workers
        self._is_halting = False

    def _reap_workers(self) -> None:
        """Halt the server at the first worker that could not start.

        A second one, while gunicorn waits for the others to end, would cause a traceback.
        """
        self._forget_serving()  # one that served until it was killed could start
        try:
            self._reap()
        except HaltServer:
            if not self._is_halting:
                self._is_halting = True
                raise

    def _handle_hup(self) -> None:
        """Reload, unless the configuration cannot be loaded: gunicorn would exit."""
        app = self._server.app
        in_use = app.cfg
        try:
            app.reload()
        except SystemExit as error:
            app.cfg = in_use
            log.error("not reloaded: the configuration cannot be loaded (%s)", error)  # noqa: TRY400  # its message says all
            return
        self._retry_at = 0.0
        self._hup()

    def _manage_workers(self) -> None:
        server = self._server
        self._notice_changes()
        if len(server.WORKERS) > server.num_workers:
            self._wait_for_new_workers()
            self._count_as_new()
        is_pause = time.monotonic() < self._retry_at and self._any_serves()
        if len(server.WORKERS) >= server.num_workers or not is_pause:
            self._manage()

    def _wait_for_new_workers(self) -> None:
        """Return when each new worker serves, or has ended because it could not start."""
        until = time.monotonic() + BOOT_SECONDS
        while self._starting:
            if time.monotonic() > until:
                for pid in self._starting:
                    self._server.kill_worker(pid, signal.SIGKILL)
            time.sleep(POLL_SECONDS)
            self._server.reap_workers()
            self._notice_changes()

    def _any_serves(self) -> bool:
        return any(map(_is_serving, self._server.WORKERS.values()))

    def _count_as_new(self) -> None:
        """Renumber the workers that stay: a reload waits 30 s for the end of all older ones."""
        server = self._server
        workers = sorted(server.WORKERS.values(), key=lambda worker: worker.age)
        for worker in workers[-server.num_workers :]:
            server.worker_age += 1
            worker.age = server.worker_age

    def _notice_changes(self) -> None:
        """Forget the workers that serve by now, and those that ended without."""
        self._forget_serving()
        for pid in self._starting.keys() - self._server.WORKERS.keys():
            del self._starting[pid]
            self._retry_at = time.monotonic() + RETRY_SECONDS
            log.error("worker %d could not start", pid)

    def _forget_serving(self) -> None:
        workers = self._server.WORKERS
        for pid, worker in list(self._starting.items()):
            if pid in workers and _is_serving(worker):
                del self._starting[pid]

    def _spawn_worker(self) -> Any:
        others_serve = self._any_serves()
        late = others_serve or self._server.master_pid != 0
        try:
            with _listening_later(late=late), _without_stop_signals():
                pid = self._spawn()
        except SystemExit as error:  # in the worker
            sys.exit(_exit_code(error, others_serve=others_serve))
        self._starting[pid] = self._server.WORKERS[pid]
        return pid


def _exit_code(error: SystemExit, *, others_serve: bool) -> Any:
    """Return how a worker exits: the master stops the service at a code of BOOT_ERRORS."""
    if others_serve:
        return 1 if error.code in BOOT_ERRORS else error.code
    if isinstance(error.code, str):  # else the master would start such workers for ever
        sys.stderr.write(f"{error.code}\n")
        return BOOT_ERRORS[0]
    return error.code


@contextmanager
def _listening_later(*, late: bool) -> Iterator[None]:
    """Let a worker forked in this block only bind its own listeners (--reuse-port), if ``late``.

    While others serve, it must not get connections before it can: it listens when it has loaded
    the application.
    """
    is_listening = sock.BaseSocket._is_listening
    if late:
        sock.BaseSocket._is_listening = staticmethod(lambda _: True)
    try:
        yield
    finally:
        sock.BaseSocket._is_listening = staticmethod(is_listening)


@contextmanager
def _without_stop_signals() -> Iterator[None]:
    """Let the kernel keep the signals that stop a worker forked in this block.

    The handlers of the master, and those of uvloop before it runs, would lose them: then the
    master waits for the worker until graceful_timeout.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        receive_stop_signals()


def receive_stop_signals() -> None:
    """Let a worker that can handle them receive the signals that stop it."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)


def listen(worker: Any) -> None:
    """Open the listeners of a worker that has loaded its application."""
    for listener in worker.sockets:
        listener.sock.listen(worker.cfg.backlog)


def _is_serving(worker: Any) -> bool:
    """Return whether ``worker`` has begun to serve.

    The time of its heartbeat file is that of its creation until the first heartbeat sets it to
    the monotonic time, which began when the machine did.
    """
    return bool(worker.tmp.last_update() <= time.monotonic())
