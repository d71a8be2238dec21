"""What an operator sees of the lines: how many there are, and one line in the log for each."""

import logging
import time
from types import TracebackType

from prometheus_client import Counter, Gauge

from app.live.connection import Line

CONNECTIONS = Gauge(
    "bookstall_live_connections", "Lines that are open", ["kind"], multiprocess_mode="livesum"
)
SUBSCRIPTIONS = Gauge(
    "bookstall_live_subscriptions", "Subscriptions at work", multiprocess_mode="livesum"
)
EVENTS = Counter("bookstall_live_events_total", "Events that have reached processes")
ENDS = Counter("bookstall_live_ends_total", "Lines that ended", ["kind", "why"])
log = logging.getLogger("bookstall.line")


class Watched:
    """Counts a line while the block runs, and writes of it in the end."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._kind = "socket" if line.is_socket else "stream"
        self._began = time.perf_counter()

    def __enter__(self) -> None:
        """Count it as open."""
        CONNECTIONS.labels(self._kind).inc()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Count it as ended."""
        CONNECTIONS.labels(self._kind).dec()
        ENDS.labels(self._kind, self._line.ended).inc()
        told = {
            "request_id": self._line.request_id,
            "route": self._line.scope["path"],
            "ms": round((time.perf_counter() - self._began) * 1000, 2),
        }
        log.info("%s %s", self._kind, self._line.ended, extra=told)
