"""Logging to standard error: one line per record, as text or as JSON."""

import contextlib
import logging
import sys
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import Any, TextIO

from app.config import Settings
from app.json import encode, escape_surrogates

BATCH_SECONDS = 0.05
"""How long a record waits for others; it is lost if the process is killed meanwhile."""
MAX_BATCHED = 10_000
EXTRA = ("request_id", "client", "key", "method", "route", "status", "bytes", "ms", "cache")
"""What a record can say besides its message; README.md and docs/access.md describe each."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escape_surrogates(record.getMessage()),
        }
        line |= _extra(record)
        if record.exc_info:
            line["exception"] = escape_surrogates(self.formatException(record.exc_info))
        return encode(line).decode()


class TextFormatter(logging.Formatter):
    """Writes a record as one line of text, and the lines of an exception indented below it.

    Whatever a client sent is escaped: it can neither begin a line nor control a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        extra = " ".join(f"{name}={value}" for name, value in _extra(record).items())
        said = _escape(f"{record.getMessage()} {extra}".rstrip())
        lines = [f"{self.formatTime(record, '%H:%M:%S')} {record.levelname[:4]} {said}"]
        if record.exc_info:
            lines += map(_escape, self.formatException(record.exc_info).split("\n"))
        return "\n    ".join(lines)


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: record.__dict__.get(name) for name in EXTRA}
    return {name: value for name, value in found.items() if value is not None}


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode()


class BatchingStreamHandler(logging.StreamHandler[TextIO]):
    """Writes INFO records in batches, from a thread of its own, and more severe ones at once.

    A write per record costs a request a fifth of its time, because the system call releases the
    interpreter lock. The handlers of the standard library do not help: MemoryHandler has no time
    limit and writes each record by itself, as QueueListener does.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._batch: deque[logging.LogRecord] = deque()
        self._has_records = Event()
        self._start_lock = Lock()
        self._writer: Thread | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Add a record to the batch; write the batch first if the stream is too slow for it."""
        if record.levelno > logging.INFO:
            self.flush()
            return bool(super().handle(record))
        self._batch.append(record)
        if len(self._batch) > MAX_BATCHED:
            self.flush()
        if not self._has_records.is_set():
            self._has_records.set()
            self._start_writer()
        return True

    def flush(self) -> None:
        self.acquire()
        try:
            lines = []
            while self._batch:
                lines.append(self._line(self._batch.popleft()))
            if lines:
                self.stream.write("".join(lines))
            super().flush()
        finally:
            self.release()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record) + self.terminator
        except Exception:  # noqa: BLE001 - as in every handler, a bad record must not stop the log
            self.handleError(record)
            return ""

    def _start_writer(self) -> None:
        # Not in __init__: gunicorn forks its workers afterwards, and a fork keeps no threads.
        if self._writer is None:
            with self._start_lock:
                if self._writer is None:
                    self._writer = Thread(target=self._write_batches, name="log", daemon=True)
                    self._writer.start()

    def _write_batches(self) -> None:
        while True:
            self._has_records.wait()
            time.sleep(BATCH_SECONDS)
            self._has_records.clear()
            with contextlib.suppress(OSError, ValueError):  # the stream is broken or closed
                self.flush()


def init_logging(settings: Settings) -> None:
    """Send our log, and the warnings of other libraries, to standard error."""
    handler = BatchingStreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("bookstall", "app"):
        logging.getLogger(name).setLevel(logging.INFO)
