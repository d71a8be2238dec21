"""What an operator sees of each request: its id, its figures, and one line in the log."""

import logging
import random
import re
from functools import cache
from typing import Any, NamedTuple

from prometheus_client import Counter, Histogram

ID = "bookstall.request_id"
SENT_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
UNMATCHED = "unmatched"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

REQUESTS = Counter(
    "bookstall_requests_total", "Requests answered", ["method", "route", "status", "cache"]
)
SECONDS = Histogram(
    "bookstall_request_seconds",
    "Time to an answer",
    ["route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
log = logging.getLogger("bookstall.request")


def name(environ: dict[str, Any]) -> None:
    """Take the request's id, or make one, which need not be hard to guess."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    environ[ID] = sent if SENT_ID.fullmatch(sent) else f"{random.getrandbits(64):016x}"


class Request(NamedTuple):
    """What is told of a request."""

    request_id: str
    method: str
    route: str
    path: str


def note(request: Request, status: str, cached: str, seconds: float) -> None:
    """Count a request that was answered, and write its line."""
    known = request.method if request.method in METHODS else "other"
    _counter(known, request.route, status, cached.partition(";")[0]).inc()
    _timer(request.route).observe(seconds)
    if log.isEnabledFor(logging.INFO):
        told = {
            "request_id": request.request_id,
            "route": request.route,
            "status": int(status),
            "ms": round(seconds * 1000, 2),
            "cache": cached,
        }
        # Made by hand: looking for the calling line would cost as much as all the rest.
        record = {"name": log.name, "levelno": logging.INFO, "levelname": "INFO", **told}
        record["msg"] = f"{request.method} {_readable(request.path)}"
        log.handle(logging.makeLogRecord(record))


def _readable(path: str) -> str:
    """Undo WSGI's way with bytes: it gives each as the character of that number."""
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")


# Finding a figure by its labels costs more than counting it up.
@cache
def _counter(*labels: str) -> Any:
    return REQUESTS.labels(*labels)


@cache
def _timer(route: str) -> Any:
    return SECONDS.labels(route)
