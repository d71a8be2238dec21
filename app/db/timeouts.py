"""A client-side timeout for PostgreSQL, for the failures that the server's own do not cover.

A server that hangs (out of memory, a disk that does not respond) keeps its connections open and
ends no statement. The driver would then wait forever, and block one of our threads.
"""

import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from psycopg2 import OperationalError
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP, connection, set_wait_callback

CONNECT_TIMEOUT = 3
RESPONSE_TIMEOUT = 6
"""Longer than the server's statement timeout, whose error message is more precise."""
_until: ContextVar[float] = ContextVar("waiting_until", default=float("inf"))


def install_wait_timeout() -> None:
    """Limit how long any connection of this process waits for its server."""
    set_wait_callback(_wait)


def remove_wait_timeout() -> None:
    """Remove the limit, for work that may take long: migrations."""
    set_wait_callback(None)


@contextmanager
def waiting_until(moment: float) -> Iterator[None]:
    """Let this thread wait for no server beyond a ``moment`` of ``time.monotonic()``."""
    token = _until.set(min(moment, _until.get()))
    try:
        yield
    finally:
        _until.reset(token)


def _wait(waiting: connection) -> None:
    limit = CONNECT_TIMEOUT if waiting.status == STATUS_SETUP else RESPONSE_TIMEOUT
    while (state := waiting.poll()) != POLL_OK:
        poll = select.poll()
        poll.register(waiting.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        seconds = max(0.0, min(limit, _until.get() - time.monotonic()))
        if not poll.poll(seconds * 1_000):
            # The driver closes a connection whose wait has failed; the pool opens a new one.
            raise OperationalError(f"no response from the server in {seconds:g} s")
