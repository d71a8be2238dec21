"""The open connections of an asgi worker: how many there may be, and which ones are cut."""

import logging
import time
from collections.abc import Iterator
from typing import Protocol

from app.server import bounds
from app.server.bounds import RepeatedWarning, cut

CHECK_SECONDS = 1.0
EVICTED_SHARE = 20
"""At the limit, a twentieth of all connections is closed at once: finding them takes a while."""
FULL_SECONDS = 0.1
"""For how long new connections are refused after none could be closed."""
log = logging.getLogger(__name__)


class Connection(Protocol):
    """What is known of a connection, and what can be done to it."""

    opened_at: float
    idle_since: float
    head_since: float | None
    """Since when a head is incomplete."""

    def is_idle(self) -> bool:
        """Return whether no byte of a request has arrived."""

    def overdue(self, now: float) -> str | None:
        """Return what has taken too long: a head, a response, or a connection without a request."""

    def refuse(self, status: int, detail: str) -> None:
        """Respond with an error and close the connection."""

    def close(self) -> None:
        """Close the connection when its client has read what is left."""

    def abort(self) -> None:
        """Drop the connection at once."""


class OpenConnections:
    """The open connections. Call all methods from the event loop."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: dict[Connection, None] = {}
        self._held: dict[Connection, int] = {}
        """The bytes that wait for their request, the oldest first."""
        self.held_bytes = 0
        self._full_until = 0.0
        self._warn_refused = RepeatedWarning(
            log, f"refused a connection: this process has reached its limit of {limit}"
        )

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._open))

    def add(self, connection: Connection) -> None:
        """Count a new connection; if there are too many, close idle ones, or this one."""
        if len(self._open) >= self.limit and not self.close_idle():
            cut("connection", "capacity")
            self._warn_refused()
            connection.abort()
        self._open[connection] = None

    def discard(self, connection: Connection) -> None:
        self._release(connection)
        self._open.pop(connection, None)

    def hold(self, connection: Connection, size: int) -> None:
        """Count the bytes that wait for their request; cut the oldest ones if all are too many."""
        if size:
            self.held_bytes += size - self._held.get(connection, 0)
            self._held[connection] = size  # in its old place, if it has one
        else:
            self._release(connection)
        if connection.head_since is not None and size > bounds.MAX_HEAD_BYTES:
            connection.refuse(431, "The head of the request is too large.")
        while self.held_bytes > bounds.MAX_HEADS_BYTES:
            oldest = next(iter(self._held))
            cut("head", "memory")
            if oldest.head_since is None:  # a response is being sent
                oldest.abort()
            else:
                oldest.refuse(503, "Too many large requests at once. Please try again.")
            self._release(oldest)

    def _release(self, connection: Connection) -> None:
        self.held_bytes -= self._held.pop(connection, 0)

    def check(self, now: float) -> None:
        """Cut what has taken too long at the monotonic time ``now``."""
        for connection in list(self._open):
            kind = connection.overdue(now)
            if kind == "head":
                connection.refuse(408, "The head of the request took too long.")
                self._release(connection)
            elif kind == "connection":
                connection.close()
            elif kind:
                connection.abort()
            if kind:
                cut(kind, "timeout")

    def close_idle(self) -> bool:
        """Close the connections idle for longest, or else the oldest incomplete heads.

        A client that is served sends its head at once. Return whether there was any.
        """
        now = time.monotonic()
        if now < self._full_until:
            return False
        idle = sorted((c for c in self._open if c.is_idle()), key=lambda c: c.idle_since)
        heads = [c for c in self._held if c.head_since is not None]
        heads.sort(key=lambda c: c.head_since or now)
        chosen = (idle or heads)[: max(1, len(self._open) // EVICTED_SHARE)]
        for connection in chosen:
            cut("connection" if idle else "head", "capacity")
            connection.abort()
            self.discard(connection)
        if not chosen:
            self._full_until = now + FULL_SECONDS
        return bool(chosen)
