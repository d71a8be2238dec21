"""How a worker of gunicorn ends: everybody is told, every answer is given, and nobody waits.

gunicorn closes a connection after the answer it is at when the signal comes, even if that answer
has said that it stays open: the next request is lost. And it waits for connections on which
nothing is asked for as for those at work. So here answers say first, for a while, that they are
the last; then gunicorn ends, and who has not asked for anything in that while is closed.

With --reuse-port each worker has a queue of its own for those who connect, and whoever stands in it
when it is closed is cut off, perhaps with its request sent. So first nobody new is let into it.
"""

import asyncio
import contextlib
import ctypes
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

LAST_SECONDS = 1.0
"""So long answers say that they are the last on their connection, while others still come in."""
LOOK_SECONDS = 0.1
QUEUE_SECONDS = 0.1
"""So long it takes to come in for who has begun to connect."""
SO_ATTACH_FILTER = 26
NO_NEW = b"".join(
    struct.pack("=HBBI", *step)
    for step in (
        (0x30, 0, 0, 13),  # load the flags of the TCP header
        (0x54, 0, 0, 0x12),  # keep SYN and ACK
        (0x15, 0, 1, 0x02),  # a SYN alone,
        (0x06, 0, 0, 0),  # that begins a connection, is dropped: the client sends it again
        (0x06, 0, 0, 0xFFFFFFFF),
    )
)


class Left(Protocol):
    """What has to know that its worker is about to end."""

    def leave(self) -> None:
        """Send lines away, and let every answer be the last of its connection."""


class Leaving:
    """Ends one worker of gunicorn's asgi kind."""

    def __init__(self, worker: Any, live: Left) -> None:
        self._worker, self._live = worker, live
        self._made: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
        self._task: asyncio.Task[None] | None = None
        # The one place where connections come from: gunicorn itself only counts them.
        worker.loop.create_server = self._noting(worker.loop.create_server)

    def begin(self) -> None:
        """Begin to end; once more changes nothing."""
        if self._task is None:
            self._task = self._worker.loop.create_task(self._leave())

    def _noting(self, create_server: Callable[..., Any]) -> Callable[..., Any]:
        def create(make: Callable[[], Any], **how: Any) -> Any:
            def note() -> Any:
                connection = make()
                self._made[connection] = time.monotonic()
                return connection

            # asyncio listens anew, and would make the queue short.
            return create_server(note, backlog=self._worker.cfg.backlog, **how)

        return create

    async def _leave(self) -> None:
        self._live.leave()
        await asyncio.sleep(LAST_SECONDS)
        if self._worker.cfg.reuse_port:
            for listener in self._worker.sockets:
                let_in_nobody_new(listener.sock)
            await asyncio.sleep(QUEUE_SECONDS)
        for server in self._worker.servers:
            server.close()
        self._worker.handle_exit_signal()
        while True:
            self._close_idle(time.monotonic() - LAST_SECONDS)
            await asyncio.sleep(LOOK_SECONDS)

    def _close_idle(self, before: float) -> None:
        for connection, made in list(self._made.items()):
            if made < before and _is_idle(connection):
                connection.transport.close()


def let_in_nobody_new(listener: socket.socket) -> None:
    """Have the kernel drop what begins a connection, where it can; those begun still come in.

    The client tries again after a second, and comes to another worker, or is refused.
    """
    if sys.platform != "linux":
        return
    steps = ctypes.create_string_buffer(NO_NEW, len(NO_NEW))
    program = struct.pack("HP", len(NO_NEW) // 8, ctypes.addressof(steps))
    with contextlib.suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _is_idle(connection: Any) -> bool:
    """Tell whether nothing of a request has come in, not even as far as the kernel."""
    if not connection._awaiting_request or connection.transport.is_closing():
        return False
    parser = connection._callback_parser
    if parser._buffer or parser._state != "request_line":
        return False
    waiting = select.poll()
    waiting.register(connection.transport.get_extra_info("socket").fileno(), select.POLLIN)
    return not waiting.poll(0)
