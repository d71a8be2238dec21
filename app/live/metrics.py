"""Metrics of the live connections, and log records of when they begin and end."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Gauge

from app.http.instrumentation import path_of
from app.http.trace import trace_of
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
    """Count a connection as open while the block runs, and log its beginning and its end."""
    kind = _kind(connection)
    began = time.perf_counter()
    OPEN_CONNECTIONS.labels(kind).inc()
    log_connection(connection, "opened")
    try:
        yield
    finally:
        reason = connection.close_reason
        OPEN_CONNECTIONS.labels(kind).dec()
        CLOSED.labels(kind, reason).inc()
        log_connection(
            connection,
            f"closed: {reason}",
            status=connection.status,
            bytes=connection.bytes_sent,
            ms=round((time.perf_counter() - began) * 1000, 2),
        )


def log_connection(connection: ClientConnection, what: str, **fields: object) -> None:
    """Log what happened to a connection, and who its client is."""
    key = connection.client.key
    known = {
        "request_id": connection.request_id,
        "client": connection.exact_address,
        "key": key.public if key else None,
        "method": connection.environ["REQUEST_METHOD"],
        "route": path_of(connection.environ),
    }
    trace = trace_of(connection.environ)
    traced = {} if trace is None else trace.log_fields
    log.info("%s %s", _kind(connection), what, extra={**known, **fields, **traced})


def _kind(connection: ClientConnection) -> str:
    return "websocket" if connection.is_websocket else "stream"
