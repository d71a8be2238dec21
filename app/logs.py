"""The log: one line for each event on the standard error, for a person or for a collector."""

import logging
import sys
import time
from typing import Any

import orjson

from app.config import Settings

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
            "message": _encodable(record.getMessage()),
        }
        line |= {name: record.__dict__[name] for name in EXTRA if name in record.__dict__}
        if record.exc_info:
            line["exception"] = _encodable(self.formatException(record.exc_info))
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


def _encodable(text: str) -> str:
    """Write out lone surrogates, which UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def init_logging(settings: Settings) -> None:
    """Send our log, and the warnings of others, to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("bookstall", "app"):
        logging.getLogger(name).setLevel(logging.INFO)
