"""An entry of the response cache: a response and the versions that it was stored under.

As bytes: the versions of the guard tags; the names of the fine tags, separated by spaces, and a
newline; the versions of the fine tags; the response. No pickle, whose loading can run code.
"""

from dataclasses import dataclass

from app.http.response import OK, BufferedResponse

VERSION_BYTES = 8
CACHED_HEADERS = ("Content-Encoding", "ETag", "Link", "Vary", "Cache-Control")
"""What an entry stores besides the body, in the order of HEADER_ORDER. All other headers of a
response follow from it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored response; each group of versions is those of its tags, one after the other."""

    response: BufferedResponse
    guard_versions: bytes
    fine_tags: tuple[str, ...] = ()
    fine_versions: bytes = b""

    def encode(self) -> bytes:
        """Return the entry as bytes."""
        response = self.response
        headers = [(response.get_header(name) or "").encode("latin-1") for name in CACHED_HEADERS]
        names = " ".join(self.fine_tags).encode()
        packed = b"\n".join([self.fine_versions + headers[0], *headers[1:], response.body])
        return b"%b%b\n%b" % (self.guard_versions, names, packed)


def decode(stored: bytes, guards: int) -> Entry | None:
    """Decode an entry with so many guard tags; return None for what another program stored."""
    end = guards * VERSION_BYTES
    names, newline, rest = stored[end:].partition(b"\n")
    if not newline:
        return None
    fine_tags = tuple(names.decode("latin-1").split())
    size = len(fine_tags) * VERSION_BYTES
    *values, body = rest[size:].split(b"\n", len(CACHED_HEADERS))
    if len(values) != len(CACHED_HEADERS):
        return None
    pairs = zip(CACHED_HEADERS, values, strict=True)
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    headers += [(name, value.decode("latin-1")) for name, value in pairs if value]
    return Entry(BufferedResponse(OK, headers, body), stored[:end], fine_tags, rest[:size])
