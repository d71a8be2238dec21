"""Byte ranges of static files (RFC 9110, 14): one range of a GET; anything else is ignored.

werkzeug responds 416 to several ranges and to unknown units, and 206 to HEAD and to a weak
If-Range, so Flask does not see these headers.
"""

import re
from typing import NamedTuple

from werkzeug.http import parse_date

from app.errors import RangeNotSatisfiable
from app.http.response import OK, BufferedResponse, Environ

SINGLE_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*", re.IGNORECASE)
MAX_DIGITS = 18
"""A longer number is beyond the end of every file, and would take time to convert."""


class RangeRequest(NamedTuple):
    """What the headers Range and If-Range of a request say."""

    first: int | None
    """None: the last ``suffix`` bytes."""
    last: int | None
    suffix: int
    if_range: str | None


def take_range(environ: Environ) -> RangeRequest | None:
    """Remove Range and If-Range from ``environ``, and return the range of a GET if it is valid.

    A range counts the bytes of the uncompressed file, so Accept-Encoding is removed with it.
    """
    text, if_range = environ.pop("HTTP_RANGE", None), environ.pop("HTTP_IF_RANGE", None)
    match = SINGLE_RANGE.fullmatch(text) if text and environ["REQUEST_METHOD"] == "GET" else None
    if match is None:
        return None
    first, last, suffix = (_number(digits) for digits in match.groups())
    if first is not None and last is not None and last < first:
        return None
    environ.pop("HTTP_ACCEPT_ENCODING", None)
    return RangeRequest(first, last, suffix or 0, if_range)


def apply_range(response: BufferedResponse, requested: RangeRequest) -> BufferedResponse:
    """Return the requested part of a static file; raise RangeNotSatisfiable if it has none."""
    if response.status != OK or response.get_header("Accept-Ranges") != "bytes":
        return response
    if requested.if_range is not None and not _is_current(response, requested.if_range):
        return response
    length = len(response.body)
    first, last = requested.first, requested.last
    if first is None:
        first, last = max(0, length - requested.suffix), None
    if first >= length:
        raise RangeNotSatisfiable(length)
    last = length - 1 if last is None else min(last, length - 1)
    part = BufferedResponse(
        "206 PARTIAL CONTENT", list(response.headers), response.body[first : last + 1]
    )
    part.set_header("Content-Length", str(len(part.body)))
    part.set_header("Content-Range", f"bytes {first}-{last}/{length}")
    return part


def _number(digits: str | None) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= MAX_DIGITS else 10**MAX_DIGITS


def _is_current(response: BufferedResponse, if_range: str) -> bool:
    """Compare exactly: a weak ETag does not promise the same bytes."""
    if if_range.startswith('"'):
        return if_range == response.get_header("ETag")
    date = parse_date(if_range)
    return date is not None and date == parse_date(response.get_header("Last-Modified"))
