"""A finished answer: packed for the cache, compressed, tagged, compared with what a client has."""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from werkzeug.http import parse_accept_header, parse_etags

GZIP_LEAST_BYTES = 1_400
"""About one network packet: below it, a smaller body arrives no sooner."""
GZIP_LEVEL = 5
GZIPPED = "-gzip"
"""Ends the ETag of a compressed answer: other bytes, another ETag."""
GZIP_TYPES = (
    "text/",
    "application/json",
    "application/problem+json",
    "application/graphql-response+json",
    "image/svg",
)
KEPT = ("ETag", "Content-Encoding", "Vary", "Link")
"""The headers that a cached answer has beside those which follow from its body."""
FOR_OTHER_BODIES = frozenset({"content-type", "content-length", "content-encoding"})
OK = "200 OK"

Environ = Mapping[str, Any]
Headers = list[tuple[str, str]]


@dataclass(slots=True)
class Answer:
    """A status line, headers and the whole body."""

    status: str
    headers: Headers
    body: bytes

    def get(self, name: str) -> str | None:
        """Return the first header of that name."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def put(self, name: str, value: str) -> None:
        """Set a header, in place of any of that name."""
        wanted = name.lower()
        self.headers = [pair for pair in self.headers if pair[0].lower() != wanted]
        self.headers.append((name, value))


def takes_gzip(environ: Environ) -> bool:
    """Tell whether the client takes gzip."""
    wanted = environ.get("HTTP_ACCEPT_ENCODING", "").lower()
    if "gzip" not in wanted and "*" not in wanted:
        return False
    return parse_accept_header(wanted)["gzip"] > 0


def finish(answer: Answer, environ: Environ) -> Answer:
    """Compress ``answer`` if the client and its size ask for it, and tag a successful read."""
    if len(answer.body) >= GZIP_LEAST_BYTES and _is_whole_text(answer):
        answer.put("Vary", "Accept-Encoding")
        if takes_gzip(environ):
            _compress(answer)
    if answer.status == OK and environ["REQUEST_METHOD"] == "GET":
        _tag(answer)
    return answer


def _is_whole_text(answer: Answer) -> bool:
    kind = answer.get("Content-Type") or ""
    # A Content-Range counts the bytes of the body as it is: compressed, it would lie.
    marked = answer.get("Content-Encoding") or answer.get("Content-Range")
    return kind.startswith(GZIP_TYPES) and marked is None


def _compress(answer: Answer) -> None:
    # mtime=0: the same bytes give the same bytes, and so the same ETag.
    answer.body = gzip.compress(answer.body, GZIP_LEVEL, mtime=0)
    answer.put("Content-Encoding", "gzip")
    answer.put("Content-Length", str(len(answer.body)))
    etag = answer.get("ETag")
    if etag is not None:
        answer.put("ETag", f'{etag[:-1]}{GZIPPED}"')


def _tag(answer: Answer) -> None:
    if answer.get("ETag") is None:
        digest = hashlib.blake2b(answer.body, digest_size=12).hexdigest()
        answer.headers.append(("ETag", f'"{digest}"'))


def if_changed(answer: Answer, environ: Environ) -> Answer:
    """Answer 304 without a body when the client names the ETag that it would get."""
    asked = environ.get("HTTP_IF_NONE_MATCH")
    if not asked or answer.status != OK or environ["REQUEST_METHOD"] != "GET":
        return answer
    etag = answer.get("ETag")
    if etag is None or not parse_etags(asked).contains_weak(etag.removeprefix("W/").strip('"')):
        return answer
    kept = [pair for pair in answer.headers if pair[0].lower() not in FOR_OTHER_BODIES]
    return Answer("304 NOT MODIFIED", kept, b"")


def pack(answer: Answer) -> bytes:
    """Write a JSON answer as one run of bytes: nothing in it can be executed."""
    headers = [(answer.get(name) or "").encode("latin-1") for name in KEPT]
    return b"\n".join([*headers, answer.body])


def unpack(packed: bytes) -> Answer:
    """Make the answer that ``pack`` packed; raise ValueError for anything else."""
    *values, body = packed.split(b"\n", len(KEPT))
    headers = [
        (name, value.decode("latin-1")) for name, value in zip(KEPT, values, strict=True) if value
    ]
    headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return Answer(OK, headers, body)
