"""What clients can hold open in a process, for how long at most, and how much of it.

docs/bounds.md has the same figures in its tables.
"""

import logging
import resource
import threading
import time
from collections.abc import Callable

HEAD_TIMEOUT_SECONDS = 30.0
"""From the first byte of a request to the last byte of its head; also until the first byte."""
BODY_TIMEOUT_SECONDS = 30.0
"""From the head of a request to the last byte of its body."""
RESPONSE_TIMEOUT_SECONDS = 60.0
"""How long a client may leave more of a response unread than the buffers hold."""
LINGER_SECONDS = 2.0
"""How long a client may take to close its half: a reset could lose the response."""
MAX_HEAD_BYTES = 65_536
MAX_HEADS_BYTES = 16_777_216
"""The limit for all incomplete heads in the memory of a process together."""
MAX_BODIES_BYTES = 134_217_728
"""The limit for all request bodies in the memory of a process together."""
MAX_MESSAGES_BYTES = 67_108_864
"""The limit for all WebSocket messages that a process has not handled yet together."""
FRAMES_PER_SECOND = 100
FRAMES_AT_ONCE = 300
CONTROL_FRAME_WEIGHT = 0.05
"""A ping or pong of the protocol below counts as so much of a frame."""
BYTES_PER_SECOND = 262_144
BYTES_AT_ONCE = 1_048_576
"""What one WebSocket may send: the process reads more of it only later."""
MAX_OPEN_CONNECTIONS = 16_384
RESERVED_FILES = 128
"""Files that a process opens beside connections: of the database, Redis, the metrics, the log."""
REFUSAL = "Invalid request from "
"""With this gunicorn begins its warnings of malformed requests."""
CUTS = {
    "head": ("timeout", "size", "memory", "capacity"),
    "body": ("timeout", "memory"),
    "response": ("timeout",),
    "connection": ("timeout", "capacity"),
    "websocket": ("rate", "memory"),
}
"""The reasons for which a request or a connection of each kind is cut, as the metrics name them."""
CountCut = Callable[[str, str], None]
_counters: list[CountCut] = []


def on_cut(count: CountCut) -> None:
    """Call ``count`` with kind and reason for each cut: app/server/metrics.py does.

    The master of gunicorn imports this module, and must not create metrics.
    """
    _counters.append(count)


def cut(kind: str, reason: str) -> None:
    """Count a request or connection that was cut; see CUTS."""
    for count in _counters:
        count(kind, reason)


def connection_limit(open_files: int, maximum: int = MAX_OPEN_CONNECTIONS) -> int:
    """Return how many connections a process may have that may open ``open_files`` files."""
    if open_files == resource.RLIM_INFINITY:
        return maximum
    return max(1, min(maximum, open_files - min(RESERVED_FILES, open_files // 2)))


class RepeatedWarning:
    """A warning that clients can cause often: logged once a second, with a count."""

    INTERVAL_SECONDS = 1.0

    def __init__(self, log: logging.Logger, message: str) -> None:
        self._log, self._message = log, message
        self._lock = threading.Lock()
        self._count = 0
        self._timer: threading.Timer | None = None
        self._logged_at = float("-inf")

    def __call__(self, detail: str = "") -> None:
        """Log it now, or with others at the end of the second; the newest ``detail`` is kept."""
        with self._lock:
            self._count += 1
            self._detail = detail
            if self._timer is not None:
                return
            wait = self._logged_at + self.INTERVAL_SECONDS - time.monotonic()
            if wait > 0:
                self._timer = threading.Timer(wait, self._flush)
                self._timer.daemon = True
                self._timer.start()
                return
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            count, self._count, self._timer = self._count, 0, None
            self._logged_at = time.monotonic()
            detail = f": {self._detail}" if self._detail else ""
        if count:
            times = f" ({count} times)" if count > 1 else ""
            self._log.warning("%s%s%s", self._message, detail, times)


class RefusalFilter(logging.Filter):
    """Turns gunicorn's warnings of malformed requests into one a second."""

    def __init__(self, log: logging.Logger) -> None:
        super().__init__()
        self._warn = RepeatedWarning(log, "refused a malformed request")

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if not message.startswith(REFUSAL):
            return True
        self._warn(message.removeprefix(REFUSAL))
        return False
