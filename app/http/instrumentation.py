"""What an operator sees of each request: its id, its metrics and its log record."""

import logging
import random
import re
from functools import cache
from typing import Any, NamedTuple

from prometheus_client import Counter, Histogram

REQUEST_ID = "X-Request-ID"
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Counter("bookstall_requests_total", "Requests", ["method", "route", "status", "cache"])
SECONDS = Histogram(
    "bookstall_request_seconds",
    "Time to respond",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
log = logging.getLogger("bookstall.request")


def assign_request_id(environ: dict[str, Any]) -> str:
    """Return the id that the client sent, or a new one; set it as the request's X-Request-ID."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    # A new id need not be hard to guess.
    request_id: str = sent if VALID_REQUEST_ID.fullmatch(sent) else f"{random.getrandbits(64):016x}"
    environ["HTTP_X_REQUEST_ID"] = request_id
    return request_id


class Request(NamedTuple):
    """What the log says about a request."""

    request_id: str
    method: str
    route: str
    path: str


def record_request(request: Request, status: str, cache_status: str, seconds: float) -> None:
    """Count a request and its response, and log them."""
    method = request.method if request.method in METHODS else "other"
    _counter(method, request.route, status, cache_status.partition(";")[0]).inc()
    _timer(request.route).observe(seconds)
    if log.isEnabledFor(logging.INFO):
        extra = {
            "request_id": request.request_id,
            "route": request.route,
            "status": int(status),
            "ms": round(seconds * 1000, 2),
            "cache": cache_status,
        }
        # Not log.info(): to find the calling line would cost as much as everything else here.
        record = {"name": log.name, "levelno": logging.INFO, "levelname": "INFO", **extra}
        record["msg"] = f"{request.method} {_decoded(request.path)}"
        log.handle(logging.makeLogRecord(record))


def _decoded(path: str) -> str:
    """Decode a WSGI path, in which each byte is the character of the same number."""
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")


# labels() costs more than inc().
@cache
def _counter(*labels: str) -> Any:
    return REQUESTS.labels(*labels)


@cache
def _timer(route: str) -> Any:
    return SECONDS.labels(route)
