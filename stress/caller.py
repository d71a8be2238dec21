"""A client that notes when it asked and was answered, and connects again when it has to."""

import time
from dataclasses import dataclass

from stress.http_client import Wire


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, with the times of our clock before its request and after it."""

    began: float
    ended: float
    status: int
    cache: str
    etag: str
    body: bytes


class Caller:
    """One client; after ``lasts`` answers it takes a new connection, perhaps to another worker."""

    def __init__(self, port: int, lasts: int | None = None) -> None:
        self._port = port
        self._lasts = lasts
        self._left = lasts
        self._wire: Wire | None = None

    def ask(self, words: bytes) -> Reply | None:
        """Return the answer; None if the connection broke before it was whole."""
        if self._left == 0:
            self.close()
            self._left = self._lasts
        began = time.monotonic()
        try:
            self._wire = self._wire or Wire(self._port)
            status, body = self._wire.ask(words)
        except OSError:
            self.close()
            return None
        ended = time.monotonic()
        if self._left is not None:
            self._left -= 1
        wire = self._wire
        return Reply(began, ended, status, wire.cache, wire.header("ETag"), body)

    def close(self) -> None:
        """Close the connection; the next question makes a new one."""
        if self._wire is not None:
            self._wire.close()
        self._wire = None
