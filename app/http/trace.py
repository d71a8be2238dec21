"""W3C Trace Context: the trace that a request is part of, in the log and in what it causes.

The headers are of other services. They are validated, and never cause an error.
"""

import re
from typing import NamedTuple

import orjson

from app.http.response import Environ

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
HEADER = "HTTP_TRACEPARENT"
"""``traceparent`` as a WSGI server names it."""
_VERSION_00 = r"(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
# A later version may have further fields; ff is invalid.
_VALID = re.compile(rf"(?:00-{_VERSION_00}|(?!00|ff)[0-9a-f]{{2}}-{_VERSION_00}(?:-.*)?)")
_VALID_STATE = re.compile(r"[ -~]{1,512}")
KNOWN_FLAGS = 0b11
"""Sampled, and random; the standard says to reset all others."""


class TraceContext(NamedTuple):
    """A span of a trace: that of the caller, or with OpenTelemetry that of the request."""

    trace_id: str
    span_id: str
    flags: int
    state: str = ""
    """What tracing systems add, of at most 512 characters; a longer one is left out."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that pass the trace on."""
        headers = {TRACEPARENT: f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"}
        return {**headers, TRACESTATE: self.state} if self.state else headers

    @property
    def log_fields(self) -> dict[str, str]:
        """The fields of a log record, as OpenTelemetry names them."""
        return {"trace_id": self.trace_id, "span_id": self.span_id}


def trace_of(environ: Environ) -> TraceContext | None:
    """Return the trace that the client sent with a request; None without a valid one."""
    valid = _VALID.fullmatch(environ.get(HEADER, "").strip(" \t"))
    if valid is None:
        return None
    trace_id, span_id, flags = (part for part in valid.groups() if part is not None)
    state = environ.get("HTTP_TRACESTATE", "")
    state = state if _VALID_STATE.fullmatch(state) else ""
    return TraceContext(trace_id, span_id, int(flags, 16) & KNOWN_FLAGS, state)


def stored_headers(document: bytes) -> dict[str, str]:
    """Return the headers of a trace that were stored in a JSON object among other values."""
    if TRACEPARENT.encode() not in document:
        return {}
    stored = orjson.loads(document)
    return {name: stored[name] for name in (TRACEPARENT, TRACESTATE) if name in stored}
