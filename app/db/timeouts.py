"""A limit to waiting for PostgreSQL, which the server's own time-outs cannot give.

A server that hangs (its host is out of memory, its disk does not answer) keeps its connections
open and ends no statement. The driver would wait for ever, with a thread of ours.
"""

import select

from psycopg2 import OperationalError
from psycopg2.extensions import (
    POLL_OK,
    POLL_READ,
    STATUS_SETUP,
    connection,
    set_wait_callback,
)

CONNECT_SECONDS = 3
ANSWER_SECONDS = 6
"""Longer than the server lets a statement run: its own, better message comes first."""


def limit_waiting() -> None:
    """Let no connection of this process wait longer than that for its server."""
    set_wait_callback(_wait)


def wait_for_ever() -> None:
    """Take the limit back, for work that may take long: migrations."""
    set_wait_callback(None)


def _wait(waiting: connection) -> None:
    seconds = CONNECT_SECONDS if waiting.status == STATUS_SETUP else ANSWER_SECONDS
    while (state := waiting.poll()) != POLL_OK:
        poll = select.poll()
        poll.register(waiting.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        if not poll.poll(seconds * 1_000):
            # The driver closes a connection whose wait has failed; the pool makes a new one.
            raise OperationalError(f"no answer from the server in {seconds} s")
