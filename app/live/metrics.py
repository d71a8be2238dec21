"""Metrics of the live connections, and one log record for each closed connection."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def count_connection(connection: ClientConnection) -> Iterator[None]:
    """Count a connection as open while the block runs, then log it."""
    kind = "websocket" if connection.is_websocket else "stream"
    began = time.perf_counter()
    OPEN_CONNECTIONS.labels(kind).inc()
    try:
        yield
    finally:
        reason = connection.close_reason
        OPEN_CONNECTIONS.labels(kind).dec()
        CLOSED.labels(kind, reason).inc()
        fields = {
            "request_id": connection.request_id,
            "route": connection.scope["path"],
            "ms": round((time.perf_counter() - began) * 1000, 2),
        }
        log.info("%s closed: %s", kind, reason, extra=fields)
