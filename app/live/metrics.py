"""Metrics of the live connections, and one log record for each closed connection."""

import logging
import time
from types import TracebackType

from prometheus_client import Counter, Gauge

from app.live.connection import ClientConnection

OPEN_CONNECTIONS = Gauge(
    "bookstall_live_connections", "Open connections", ["kind"], multiprocess_mode="livesum"
)
ACTIVE_SUBSCRIPTIONS = Gauge(
    "bookstall_live_subscriptions", "Active subscriptions", multiprocess_mode="livesum"
)
EVENTS_DELIVERED = Counter("bookstall_live_events_total", "Events that reached a process")
CLOSED = Counter("bookstall_live_closed_total", "Closed connections", ["kind", "reason"])
log = logging.getLogger("bookstall.connection")


class ConnectionMetrics:
    """Counts a connection as open while the block runs, then logs it."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._kind = "websocket" if connection.is_websocket else "stream"
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        """Count the connection as open."""
        OPEN_CONNECTIONS.labels(self._kind).inc()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Count the connection as closed, and log it."""
        reason = self._connection.close_reason
        OPEN_CONNECTIONS.labels(self._kind).dec()
        CLOSED.labels(self._kind, reason).inc()
        fields = {
            "request_id": self._connection.request_id,
            "route": self._connection.scope["path"],
            "ms": round((time.perf_counter() - self._began) * 1000, 2),
        }
        log.info("%s closed: %s", self._kind, reason, extra=fields)
