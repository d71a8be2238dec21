"""The last step of a read: gzip, ETag, and 304 for a client that has it already."""

import gzip
import hashlib

from flask import Flask, Response, request

GZIP_LEAST_BYTES = 1_400
"""About one network packet: below it, a smaller body arrives no sooner."""
GZIP_LEVEL = 5


def finish(response: Response) -> Response:
    """Compress ``response`` if the client and its size ask for it, and tag a successful read."""
    if response.direct_passthrough or response.is_streamed:
        return response
    if len(response.get_data()) >= GZIP_LEAST_BYTES and "Content-Encoding" not in response.headers:
        _compress(response)
    if response.status_code == 200 and request.method in ("GET", "HEAD"):  # noqa: PLR2004
        _tag(response)
    return response


def takes_gzip() -> bool:
    """Tell whether the client takes gzip."""
    wanted = request.environ.get("HTTP_ACCEPT_ENCODING", "")
    return "gzip" in wanted and request.accept_encodings["gzip"] > 0


def _compress(response: Response) -> None:
    response.vary.add("Accept-Encoding")
    if takes_gzip():
        # mtime=0: the same bytes give the same bytes, and so the same ETag.
        response.set_data(gzip.compress(response.get_data(), GZIP_LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"


def _tag(response: Response) -> None:
    if "ETag" not in response.headers:
        digest = hashlib.blake2b(response.get_data(), digest_size=12).hexdigest()
        response.headers["ETag"] = f'"{digest}"'


def answer_if_changed(response: Response) -> Response:
    """Answer 304 without a body when the client named the ETag that it would get."""
    etag = response.headers.get("ETag")
    asked = request.environ.get("HTTP_IF_NONE_MATCH")
    if not (etag and asked and response.status_code == 200):  # noqa: PLR2004
        return response
    if request.if_none_match.contains_weak(etag.removeprefix("W/").strip('"')):
        return _not_modified(response)
    return response


def _not_modified(response: Response) -> Response:
    response.status_code = 304
    response.set_data(b"")
    for name in ("Content-Type", "Content-Length", "Content-Encoding"):
        response.headers.pop(name, None)
    return response


def finish_any(response: Response) -> Response:
    """Finish what no view's cache has finished yet, then compare."""
    if "ETag" not in response.headers:
        finish(response)
    return answer_if_changed(response)


def init_app(app: Flask) -> None:
    """Finish every answer."""
    app.after_request(finish_any)
