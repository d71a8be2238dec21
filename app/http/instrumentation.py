"""What an operator sees of each request: its id, its metrics and its log record."""

import logging
import random
import re
import time
from bisect import bisect_left
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from prometheus_client import Counter, Histogram

from app.http.request import ENVIRON, ROUTE
from app.http.response import Environ
from app.http.trace import HEADER, trace_of
from app.logging import batching_handler, on_batch

PRIVATE_NAMES = (
    "prometheus_client:Histogram._sum",
    "prometheus_client:Histogram._buckets",
    "prometheus_client:Histogram._upper_bounds",
)
"""What this module uses of prometheus_client beyond its documentation."""

REQUEST_ID = "X-Request-ID"
VALID_REQUEST_ID = re.compile(r"[A-Za-z0-9._~+/=:@-]{1,128}")
UNMATCHED = "unmatched"
MEMORY_HIT = "hit; detail=memory"
"""What Cache-Status says of a hit in the memory of the process."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SPAN = "bookstall.span"
"""The key under which the environ of a request has its span, if OpenTelemetry is on."""
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""The upper limits in seconds; prometheus_client adds one without a limit."""


class BatchHistogram(Histogram):
    """A histogram that takes many observations at the cost of a few."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        bounds: Sequence[float] = self._upper_bounds
        self._sum.inc(sum(amounts))
        for bucket, count in Tally(bisect_left(bounds, amount) for amount in amounts).items():
            self._buckets[bucket].inc(count)


REQUESTS = Counter("bookstall_requests_total", "Requests", ["method", "route", "status", "cache"])
SECONDS = BatchHistogram("bookstall_request_seconds", "Time to respond", ["route"], buckets=BUCKETS)
MEMORY_HITS = Counter("bookstall_memory_hits_total", "Requests that were hits in memory")
# labels() costs more than inc().
_counter = lru_cache(maxsize=None)(REQUESTS.labels)
_timer = lru_cache(maxsize=None)(SECONDS.labels)
_begin_spans: list[Callable[[Environ], Any]] = []
log = logging.getLogger("bookstall.request")


class RequestRecord(logging.LogRecord):
    """The record of a request, with only what BatchingStreamHandler and the metrics read.

    LogRecord's own constructor costs more than everything else here.
    """

    name, levelno, levelname = log.name, logging.INFO, "INFO"
    args, exc_info = (), None
    method: str
    route: str
    status: int
    cache: str
    seconds: float

    def __init__(self, fields: dict[str, Any]) -> None:
        self.__dict__ = fields

    def complete(self) -> logging.LogRecord:
        """Return a record for handlers that read other attributes as well."""
        known = {"name": self.name, "levelno": self.levelno, "levelname": self.levelname}
        return logging.makeLogRecord({**known, **self.__dict__})


def assign_request_id(environ: Environ) -> str:
    """Return the id that the client sent, or a new one; set it as the request's X-Request-ID."""
    sent = environ.get("HTTP_X_REQUEST_ID", "")
    # A new id need not be hard to guess.
    request_id: str = sent if VALID_REQUEST_ID.fullmatch(sent) else f"{random.getrandbits(64):016x}"
    environ["HTTP_X_REQUEST_ID"] = request_id
    return request_id


def begin_request(environ: Environ) -> str:
    """Return the id of a request as ``assign_request_id`` does; begin its span if spans are on."""
    if _begin_spans:
        environ[SPAN] = _begin_spans[0](environ)
    return assign_request_id(environ)


def on_begin(begin_span: Callable[[Environ], Any]) -> None:
    """Let ``begin_span`` begin the span of each request: app/http/spans.py does.

    What it returns is told the fields of the request's record at the end.
    """
    _begin_spans[:] = [begin_span]


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
    now = time.time()
    fields = {
        "created": now,
        "msecs": int(now % 1 * 1000),
        "msg": f"{method} {path_of(environ)}",
        "request_id": environ["HTTP_X_REQUEST_ID"],
        "client": client,
        "key": key,
        "method": method,
        "route": route,
        "status": int(status),
        "bytes": size,
        "seconds": seconds,
        "ms": round(seconds * 1000, 2),
        "cache": cache,
    }
    if HEADER in environ and (trace := trace_of(environ)) is not None:
        fields |= trace.log_fields
    if SPAN in environ:
        environ[SPAN].end(fields)
    record = RequestRecord(fields)
    handler = batching_handler()
    if handler is not None:
        # Not log.handle(): its way through the loggers would cost as much as all this.
        handler.handle(record)
        return
    _count([record])
    if log.isEnabledFor(logging.INFO):
        log.handle(record.complete())


def log_fields() -> Mapping[str, Any]:
    """Return what a log record says of the current request; nothing outside of one."""
    environ = ENVIRON.get(None)
    if environ is None:
        return {}
    trace = trace_of(environ)
    known = {"request_id": environ["HTTP_X_REQUEST_ID"], "route": environ[ROUTE]}
    return known if trace is None else {**known, **trace.log_fields}


def _count(records: Iterable[logging.LogRecord]) -> None:
    """Add the requests among ``records`` to the metrics."""
    requests: Tally[tuple[str, str, int, str]] = Tally()
    durations: defaultdict[str, list[float]] = defaultdict(list)
    memory_hits = 0
    for record in records:
        if isinstance(record, RequestRecord):
            label = record.method if record.method in METHODS else "other"
            requests[label, record.route, record.status, record.cache.partition(";")[0]] += 1
            durations[record.route].append(record.seconds)
            memory_hits += record.cache == MEMORY_HIT
    MEMORY_HITS.inc(memory_hits)
    for labels, count in requests.items():
        _counter(*labels).inc(count)
    for route, seconds in durations.items():
        _timer(route).observe_all(seconds)


on_batch(_count)
