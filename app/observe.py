"""What an operator sees of each request: its id, one line in the log, and the metrics."""

import logging
import re
import secrets
import sys
import time
from typing import Any

import orjson
from flask import Flask, Response, g, request
from prometheus_client import Counter, Histogram

from app.config import Settings

SENT_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
UNMATCHED = "unmatched"
log = logging.getLogger("bookstall.request")

REQUESTS = Counter("bookstall_requests_total", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram(
    "bookstall_request_seconds",
    "Time to an answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
CACHE = Counter("bookstall_cache_total", "What the cache did", ["outcome"])


def begin() -> None:
    """Take the request's id, or make one, and start its clock."""
    sent = request.environ.get("HTTP_X_REQUEST_ID", "")
    g.request_id = sent if SENT_ID.fullmatch(sent) else secrets.token_hex(8)
    g.began = time.perf_counter()


def end(response: Response) -> Response:
    """Return the id, count the request, and write its line."""
    seconds = time.perf_counter() - g.began
    response.headers["X-Request-ID"] = g.request_id
    route = request.url_rule.rule if request.url_rule else UNMATCHED
    method = request.method if request.url_rule else UNMATCHED
    REQUESTS.labels(method, route, response.status_code).inc()
    SECONDS.labels(method, route).observe(seconds)
    CACHE.labels(_outcome(response)).inc()
    if log.isEnabledFor(logging.INFO):
        _write_line(route, response, seconds)
    return response


def _outcome(response: Response) -> str:
    said = response.headers.get("Cache-Status", "")
    return "hit" if said.endswith(" hit") else "miss" if "fwd=miss" in said else "bypass"


def _write_line(route: str, response: Response, seconds: float) -> None:
    log.info(
        "%s %s",
        request.method,
        request.path,
        extra={
            "request_id": g.request_id,
            "route": route,
            "status": response.status_code,
            "ms": round(seconds * 1000, 2),
            "cache": response.headers.get("Cache-Status", "").removeprefix("bookstall; "),
        },
    )


EXTRA = ("request_id", "route", "status", "ms", "cache")


class JsonFormatter(logging.Formatter):
    """One JSON object on a line, for a collector."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _clean(record.getMessage()),
        }
        line |= {name: record.__dict__[name] for name in EXTRA if name in record.__dict__}
        if record.exc_info:
            line["exception"] = _clean(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


JsonFormatter.converter = time.gmtime


class TextFormatter(logging.Formatter):
    """One line for a person; a client's newline cannot forge another."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record."""
        told = " ".join(str(record.__dict__[n]) for n in EXTRA[2:] if n in record.__dict__)
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname[:4]} "
        line += f"{_clean(record.getMessage()).encode('unicode_escape').decode()} {told}".rstrip()
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def init_logging(settings: Settings) -> None:
    """Send our log, and warnings of others, to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("bookstall", "app"):
        logging.getLogger(name).setLevel(logging.INFO)


def init_app(app: Flask, settings: Settings) -> None:
    """Watch every request; registered first, so that it begins first and ends last."""
    if not settings.testing:
        init_logging(settings)
    app.before_request(begin)
    app.after_request(end)
