"""Bodies that are made while they are sent: what is recorded of them, and how they end early.

The client of a response that ends early can tell: its chunked encoding has no last chunk.
"""

import errno
import logging
from collections.abc import Callable
from threading import Lock

from prometheus_client import Counter

from app.http.response import BodyStream

OUTCOMES = ("complete", "disconnected", "ended", "failed")
"""How a stream ends: the client has left, the service has ended it, or the database has failed."""
STREAMS = Counter(
    "bookstall_streams_total", "Responses made while they are sent", ["route", "outcome"]
)
log = logging.getLogger(__name__)


class StreamEnded(Exception):
    """The service has to end a stream before its body is complete; the message is the reason."""


class StreamBroken(ConnectionResetError):
    """Tells the server that the rest of a response will not come.

    Servers close the connection of a request that raises this, without a further message.
    """

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "the response ends early")


class RecordedStream(BodyStream):
    """Passes on the chunks of ``body``, and calls ``record`` with their bytes at the end."""

    def __init__(
        self, body: BodyStream, route: str, request_id: str, record: Callable[[int], None]
    ) -> None:
        self._body, self._route, self._record = body, route, record
        self._extra = {"request_id": request_id}
        self._size = 0
        self._is_over = False
        # A client may leave while a thread makes the next chunk.
        self._lock = Lock()

    def __next__(self) -> bytes:
        with self._lock:
            if self._is_over:
                raise StopIteration
            try:
                chunk = next(self._body)
            except StopIteration:
                self._end("complete")
                raise
            except StreamEnded as error:
                self._end("ended", str(error))
                raise StreamBroken from None
            except Exception as error:  # noqa: BLE001 - the status is sent: nothing else can be said
                self._end("failed", str(error).partition("\n")[0])
                raise StreamBroken from None
            self._size += len(chunk)
            return chunk

    def close(self) -> None:
        """End the stream, unless it is over."""
        with self._lock:
            if not self._is_over:
                self._end("disconnected", "the client has left")

    def _end(self, outcome: str, reason: str = "") -> None:
        self._is_over = True
        try:
            self._body.close()
        finally:
            STREAMS.labels(self._route, outcome).inc()
            self._record(self._size)
            if reason:
                message = "%s ended early after %d bytes: %s"
                log.warning(message, self._route, self._size, reason, extra=self._extra)
