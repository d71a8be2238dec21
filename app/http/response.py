"""Responses: whole ones with gzip, ETag and 304, and bodies that are made while they are sent."""

import gzip
import hashlib
import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from werkzeug.http import parse_accept_header, parse_etags

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

GZIP_MIN_BYTES = 1_400
"""About one network packet: a smaller body arrives no sooner when it is compressed."""
GZIP_LEVEL = 5
GZIP_ETAG_SUFFIX = "-gzip"
"""Ends the ETag of a compressed response: other bytes need another ETag."""
GZIP_TYPES = (
    "text/",
    "application/json",
    "application/problem+json",
    "application/graphql-response+json",
    "image/svg",
)
ENTITY_HEADERS = frozenset({"content-type", "content-length", "content-encoding"})
"""Headers about the body, which a 304 does not have."""
HEADER_ORDER = (
    "content-type",
    "content-length",
    "content-encoding",
    "etag",
    "link",
    "vary",
    "cache-control",
)
"""The first headers of every response: so a hit is like the response that was stored."""
OK = "200 OK"

Environ = dict[str, Any]
"""The environ of WSGI."""
Headers = list[tuple[str, str]]
NO_SNIFFING = ("X-Content-Type-Options", "nosniff")
"""On every response: browsers must not guess another type than its Content-Type."""


class BodyStream(Iterator[bytes]):
    """A body that is made while it is sent. Threads may take turns with it."""

    @abstractmethod
    def close(self) -> None:
        """Release what the body needs, whether it is complete or not; may be called again."""


@dataclass(slots=True)
class BufferedResponse:
    """A status line, headers and the whole body, or ``stream`` in its place."""

    status: str
    headers: Headers
    body: bytes
    stream: BodyStream | None = None
    expires_at: float = math.inf
    """When it may no longer be used for another request, by ``time.monotonic()``."""

    def get_header(self, name: str) -> str | None:
        """Return the first header of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def set_header(self, name: str, value: str) -> None:
        """Set a header; replace any header of that name."""
        wanted = name.lower()
        self.headers = [pair for pair in self.headers if pair[0].lower() != wanted]
        self.headers.append((name, value))


def call_wsgi(application: "WSGIApplication", environ: Environ) -> BufferedResponse:
    """Return the whole response of an application of WSGI."""
    response = BufferedResponse("", [], b"")

    def start(status: str, headers: Headers, _: Any = None, /) -> Any:
        response.status, response.headers = status, list(headers)

    chunks = application(environ, start)
    try:
        response.body = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return response


def add_vary(headers: Headers, name: str) -> None:
    """Add ``name`` to the request headers on which the response depends."""
    for index, (header, value) in enumerate(headers):
        if header.lower() == "vary":
            headers[index] = (header, f"{value}, {name}")
            return
    headers.append(("Vary", name))


def accepts_gzip(environ: Environ) -> bool:
    """Return whether the client accepts gzip."""
    return _allows_gzip(environ.get("HTTP_ACCEPT_ENCODING", "").lower())


@lru_cache(maxsize=256)
def _allows_gzip(accepted: str) -> bool:
    if "gzip" not in accepted and "*" not in accepted:
        return False
    return parse_accept_header(accepted)["gzip"] > 0


def compress_and_add_etag(response: BufferedResponse, environ: Environ) -> BufferedResponse:
    """Compress a text that is long enough, if the client accepts it; add an ETag to a 200.

    A stream is compressed where it is made, and has no ETag.
    """
    if len(response.body) >= GZIP_MIN_BYTES and _is_compressible(response):
        add_vary(response.headers, "Accept-Encoding")
        if accepts_gzip(environ):
            _compress(response)
    is_read = response.status == OK and environ["REQUEST_METHOD"] == "GET"
    if is_read and response.stream is None and response.get_header("ETag") is None:
        digest = hashlib.blake2b(response.body, digest_size=12).hexdigest()
        response.headers.append(("ETag", f'"{digest}"'))
    response.headers.sort(key=_rank)
    return response


def _rank(header: tuple[str, str]) -> int:
    name = header[0].lower()
    return HEADER_ORDER.index(name) if name in HEADER_ORDER else len(HEADER_ORDER)


def _is_compressible(response: BufferedResponse) -> bool:
    content_type = response.get_header("Content-Type") or ""
    # A Content-Range counts the bytes of the uncompressed body.
    encoded = response.get_header("Content-Encoding") or response.get_header("Content-Range")
    return content_type.startswith(GZIP_TYPES) and encoded is None


def _compress(response: BufferedResponse) -> None:
    # mtime=0: the same body always gives the same bytes, and so the same ETag.
    response.body = gzip.compress(response.body, GZIP_LEVEL, mtime=0)
    response.set_header("Content-Encoding", "gzip")
    response.set_header("Content-Length", str(len(response.body)))
    etag = response.get_header("ETag")
    if etag is not None:
        response.set_header("ETag", f'{etag[:-1]}{GZIP_ETAG_SUFFIX}"')


_etags = lru_cache(maxsize=256)(parse_etags)


def apply_if_none_match(response: BufferedResponse, environ: Environ) -> BufferedResponse:
    """Return a 304 without a body if If-None-Match names the ETag of ``response``."""
    header = environ.get("HTTP_IF_NONE_MATCH")
    if not header or response.status != OK or environ["REQUEST_METHOD"] != "GET":
        return response
    etag = response.get_header("ETag")
    if etag is None or not _etags(header).contains_weak(etag.removeprefix("W/").strip('"')):
        return response
    headers = [pair for pair in response.headers if pair[0].lower() not in ENTITY_HEADERS]
    return BufferedResponse("304 NOT MODIFIED", headers, b"")
