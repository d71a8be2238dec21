"""Shut down a worker of gunicorn: no request is lost, and exports end in time.

On SIGTERM gunicorn's asgi worker closes each keep-alive connection after the current response, even
if that response promised keep-alive, so the client's next request is lost. It also waits for idle
connections until graceful_timeout. We therefore send ``Connection: close`` for one second first,
then stop, and close what is still idle.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

from app.server.asgi_adapter import AsgiWorker

PRIVATE_NAMES = (
    "gunicorn.workers.gthread:ThreadWorker.method_queue",
    "gunicorn.workers.gthread:PollableMethodQueue.defer",
)
"""What ``exit_at_sigquit`` uses of gunicorn beyond its documentation."""
CLOSE_NOTICE_SECONDS = 1.0
"""For this long responses carry ``Connection: close`` while requests are still accepted."""
POLL_SECONDS = 0.1
ACCEPT_SECONDS = 0.1
"""How long a connection whose handshake has begun may take until it is accepted."""
PR_SET_PDEATHSIG = 1
SO_ATTACH_FILTER = 26
DROP_SYN = b"".join(
    struct.pack("=HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),  # load the flags of the TCP header
        (0x54, 0, 0, 0x12),  # mask SYN and ACK
        (0x15, 0, 1, 0x02),  # if only SYN is set:
        (0x06, 0, 0, 0),  # drop the packet
        (0x06, 0, 0, 0xFFFFFFFF),  # else accept it
    )
)


class GracefulShutdown:
    """Handles SIGTERM of one worker; first calls ``shut_down_app``, in the event loop."""

    def __init__(self, worker: AsgiWorker, shut_down_app: Callable[[], None]) -> None:
        self._worker, self._shut_down_app = worker, shut_down_app
        self._task: asyncio.Task[None] | None = None
        worker.on_sigterm(self.begin)

    def begin(self) -> None:
        """Start to shut down; further calls have no effect."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._shut_down())

    async def _shut_down(self) -> None:
        self._shut_down_app()
        await asyncio.sleep(CLOSE_NOTICE_SECONDS)
        if self._worker.reuse_port:
            for listener in self._worker.listeners:
                drop_new_connections(listener)
            await asyncio.sleep(ACCEPT_SECONDS)
        self._worker.stop()
        while True:  # until the process exits
            self._worker.close_idle(time.monotonic() - CLOSE_NOTICE_SECONDS)
            await asyncio.sleep(POLL_SECONDS)


class _AnyParent:
    """Equals each process id."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True


def stop_with_master(worker: Any) -> None:
    """Let the kernel send this worker SIGTERM when its master is killed, where it can (Linux).

    gunicorn's workers notice it within a second, but then serve busy connections until
    graceful_timeout, without ``Connection: close``; those of wsgi with the port in use.
    """
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM)):
        return
    if os.getppid() != worker.ppid:  # it was killed before
        os.kill(os.getpid(), signal.SIGTERM)
    worker.ppid = _AnyParent()  # gunicorn shall not notice it too, and stop at once


def end_exports_at_sigterm(worker: Any) -> None:
    """Let the exports of a wsgi worker end in time when it is told to stop."""
    # Without the type: the master of gunicorn imports this module, but not the application.
    services = getattr(worker.wsgi, "extensions", {}).get("bookstall")
    if services is None:  # another application, with the same configuration
        return

    def handle(number: int, frame: Any) -> None:
        services.snapshots.shut_down()
        worker.handle_exit(number, frame)

    signal.signal(signal.SIGTERM, handle)


def exit_at_sigquit(worker: Any) -> None:
    """Let a wsgi worker exit at SIGQUIT and SIGINT in its loop, not in what they interrupt.

    If gunicorn's own handler interrupts the start of a thread, it waits for a lock of the thread
    pool for ever; and to exit there would wait for that thread, which the pool does not know yet.
    The master then waits for the worker until graceful_timeout.
    """
    loop = getattr(worker, "method_queue", None)
    if loop is None:  # another kind of worker
        return

    def handle(*_: Any) -> None:
        loop.defer(sys.exit, 0)

    for number in (signal.SIGQUIT, signal.SIGINT):
        signal.signal(number, handle)


def drop_new_connections(listener: socket.socket) -> None:
    """Make the kernel drop SYN packets on ``listener``, where it can (Linux).

    With --reuse-port each worker has its own accept queue, and closing the listener resets the
    connections in it: measured, 86 of 9,515 under load, none of 6,295 with this filter. A client
    whose SYN is dropped sends it again after a second, and then reaches another worker.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(DROP_SYN, len(DROP_SYN))
    sock_fprog = struct.pack("HP", len(DROP_SYN) // 8, ctypes.addressof(program))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, sock_fprog)
