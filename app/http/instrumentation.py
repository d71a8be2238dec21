"""What an operator sees of each request: its id, its metrics and its log record."""

import logging
import random
import re
from functools import lru_cache

from prometheus_client import Counter, Histogram

from app.http.response import Environ

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
# labels() costs more than inc().
_counter = lru_cache(maxsize=None)(REQUESTS.labels)
_timer = lru_cache(maxsize=None)(SECONDS.labels)
log = logging.getLogger("bookstall.request")


def assign_request_id(environ: Environ) -> str:
    """Return the id that the client sent, or a new one; set it as the request's X-Request-ID."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    # A new id need not be hard to guess.
    request_id: str = sent if VALID_REQUEST_ID.fullmatch(sent) else f"{random.getrandbits(64):016x}"
    environ["HTTP_X_REQUEST_ID"] = request_id
    return request_id


def path_of(environ: Environ) -> str:
    """Return the path for people to read."""
    path: str = environ["PATH_INFO"]  # each byte is the character of the same number
    return path if path.isascii() else path.encode("latin-1").decode("utf-8", "replace")


def record_request(
    environ: Environ,
    method: str,
    route: str,
    *,
    status: str,
    cache: str,
    seconds: float,
    client: str,
    key: str | None,
    size: int,
) -> None:
    """Count a request and its response, and log them: ``client`` is its address, ``key`` the id.

    ``size`` is in bytes, without the headers.
    """
    label = method if method in METHODS else "other"
    _counter(label, route, status, cache.partition(";")[0]).inc()
    _timer(route).observe(seconds)
    if log.isEnabledFor(logging.INFO):
        # Not log.info(): to find the calling line would cost as much as everything else here.
        record = {
            "name": log.name,
            "levelno": logging.INFO,
            "levelname": "INFO",
            "msg": f"{method} {path_of(environ)}",
            "request_id": environ["HTTP_X_REQUEST_ID"],
            "client": client,
            "key": key,
            "method": method,
            "route": route,
            "status": int(status),
            "bytes": size,
            "ms": round(seconds * 1000, 2),
            "cache": cache,
        }
        log.handle(logging.makeLogRecord(record))
