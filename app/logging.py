"""Logging to standard error: one line per record, as text or as JSON."""

import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import Event, Lock, RLock, Thread
from typing import Any, TextIO

from app.config import Settings
from app.json import encode, escape_surrogates

BATCH_SECONDS = 0.05
"""How long a record waits for others; it is lost if the process is killed meanwhile."""
MAX_BATCHED = 1_000
"""Records that wait at most; then, or after LATE_SECONDS, whoever adds one formats them."""
LATE_SECONDS = 1.0
MAX_LINES = 10_000
"""Lines that wait at most for a stream that takes none; further ones are dropped."""
EXTRA = (
    *("request_id", "client", "key", "method", "route", "status", "bytes", "ms", "cache"),
    *("trace_id", "span_id"),
)
"""What a record can say besides its message; README.md and docs/access.md describe each."""


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{_utc(int(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escape_surrogates(record.getMessage()),
            **_extra(record),
        }
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
        lines = [f"{_local_time(int(record.created))} {record.levelname[:4]} {said}"]
        if record.exc_info:
            lines += map(_escape, self.formatException(record.exc_info).split("\n"))
        return "\n    ".join(lines)


# Cached, because writing a time takes as long as the rest of a line.
@lru_cache(maxsize=2)
def _utc(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(maxsize=2)
def _local_time(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _extra(record: logging.LogRecord) -> dict[str, Any]:
    said = record.__dict__
    return {name: value for name in EXTRA if (value := said.get(name)) is not None}


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode()


Count = Callable[[Sequence[logging.LogRecord]], None]
_counters: list[Count] = []


def on_batch(count: Count) -> None:
    """Call ``count`` with the records of each batch: app/http/instrumentation.py does.

    The master of gunicorn imports this module, and must not create metrics.
    """
    _counters.append(count)


class BatchingStreamHandler(logging.StreamHandler[TextIO]):
    """Writes INFO records in batches, from a thread of its own, and more severe ones at once.

    A write per record costs a request a fifth of its time, because the system call releases the
    interpreter lock. The handlers of the standard library do not help: MemoryHandler has no time
    limit and writes each record by itself, as QueueListener does.

    The handler's own lock guards counting and formatting, which never wait for the stream.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._batch: deque[logging.LogRecord] = deque()
        self._lines: deque[str] = deque()
        self._dropped = self._reported = 0
        self._late_at = 0.0
        self._has_records = Event()
        self._start_lock = Lock()
        self._write_lock = RLock()
        self._writer: Thread | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Add a record to the batch; wait for the stream only with a severe one."""
        self._batch.append(record)
        if record.levelno > logging.INFO:
            self.flush()
        elif not self._has_records.is_set():
            self._late_at = record.created + LATE_SECONDS
            self._has_records.set()
            self._start_writer()
        elif len(self._batch) > MAX_BATCHED or record.created > self._late_at:
            self.collect()
        return True

    def collect(self) -> None:
        """Count and format what has been recorded, without waiting for the stream."""
        self.acquire()
        try:
            self._late_at = time.time() + LATE_SECONDS
            records = [self._batch.popleft() for _ in range(len(self._batch))]
            self._count(records)
            for record in records:
                if len(self._lines) < MAX_LINES or record.levelno > logging.INFO:
                    self._lines.append(self._line(record))
                else:
                    self._dropped += 1
        finally:
            self.release()

    def flush(self) -> None:
        """Write what has been recorded; wait for the stream."""
        self.collect()
        with self._write_lock, contextlib.suppress(OSError, ValueError):  # broken or closed
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            if dropped := self._dropped - self._reported:
                self._reported += dropped
                lines.append(self._line(_record_of(dropped)))
            if lines:
                self.stream.write("".join(lines))
            self.stream.flush()

    def _count(self, records: Sequence[logging.LogRecord]) -> None:
        for count in _counters if records else ():
            try:
                count(records)
            except Exception:  # noqa: BLE001 - nor may metrics that cannot be written
                self.handleError(records[-1])

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
            self.flush()


def _record_of(dropped: int) -> logging.LogRecord:
    message = "%d records were dropped: the standard error takes them too slowly"
    return logging.LogRecord(__name__, logging.WARNING, "", 0, message, (dropped,), None)


def batching_handler() -> BatchingStreamHandler | None:
    """Return the handler that ``init_logging`` has installed; None in most tests."""
    for handler in logging.root.handlers:
        if isinstance(handler, BatchingStreamHandler):
            return handler
    return None


def init_logging(settings: Settings) -> None:
    """Send our log, and the warnings of other libraries, to standard error."""
    handler = BatchingStreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("bookstall", "app"):
        logging.getLogger(name).setLevel(logging.INFO)
