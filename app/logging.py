"""The log: one line for each event on the standard error, for a person or for a collector."""

import contextlib
import logging
import sys
import time
from collections import deque
from threading import Event, Lock, Thread
from typing import Any, TextIO

import orjson

from app.config import Settings
from app.json import escape_surrogates

BATCH_SECONDS = 0.05
"""So long the line of a request may wait for others: it is lost if the process is killed then."""
MAX_BATCHED = 10_000
EXTRA = ("request_id", "route", "status", "ms", "cache")


class JsonFormatter(logging.Formatter):
    """One JSON object on a line."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": escape_surrogates(record.getMessage()),
        }
        line |= {name: record.__dict__[name] for name in EXTRA if name in record.__dict__}
        if record.exc_info:
            line["exception"] = escape_surrogates(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


class TextFormatter(logging.Formatter):
    """One line for a person; a newline sent by a client cannot forge another."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        told = " ".join(str(record.__dict__[n]) for n in EXTRA if n in record.__dict__)
        message = record.getMessage().encode("unicode_escape").decode()
        when = self.formatTime(record, "%H:%M:%S")
        line = f"{when} {record.levelname[:4]} {message} {told}".rstrip()
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class BatchingStreamHandler(logging.StreamHandler[TextIO]):
    """Writes what is told of requests some lines at a time, and whatever is worse at once.

    To write each by itself costs a request a fifth of its time: with the system call the thread
    hands the interpreter over, and has to wait until it gets it back.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._gathered: deque[logging.LogRecord] = deque()
        self._some = Event()
        self._starting = Lock()
        self._writer: Thread | None = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Take a record; where too many wait for a stream that takes none, wait too."""
        if record.levelno > logging.INFO:
            self.flush()
            return bool(super().handle(record))
        self._gathered.append(record)
        if len(self._gathered) > MAX_BATCHED:
            self.flush()
        if not self._some.is_set():
            self._some.set()
            self._start()
        return True

    def flush(self) -> None:
        """Write all that waits."""
        self.acquire()
        try:
            lines = []
            while self._gathered:
                lines.append(self._line(self._gathered.popleft()))
            if lines:
                self.stream.write("".join(lines))
            super().flush()
        finally:
            self.release()

    def _line(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record) + self.terminator
        except Exception:  # noqa: BLE001 - as every handler: a bad record must not end the log
            self.handleError(record)
            return ""

    def _start(self) -> None:
        if self._writer is None:
            with self._starting:
                if self._writer is None:
                    self._writer = Thread(target=self._write, name="log", daemon=True)
                    self._writer.start()

    def _write(self) -> None:
        while True:
            self._some.wait()
            time.sleep(BATCH_SECONDS)
            self._some.clear()
            with contextlib.suppress(OSError, ValueError):  # the stream is gone, or closed
                self.flush()


def init_logging(settings: Settings) -> None:
    """Send our log, and the warnings of others, to the standard error."""
    handler = BatchingStreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("bookstall", "app"):
        logging.getLogger(name).setLevel(logging.INFO)
