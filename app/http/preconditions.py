"""Preconditions of writes (RFC 9110, section 13): If-Match with the version of a resource.

No precondition is ignored: a client that sends one relies on it. What cannot be parsed is a 400,
and a condition that is false, or that this service does not evaluate, is a 412.
"""

import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, request

from app.errors import BadRequest, PreconditionFailed
from app.http.response import GZIP_ETAG_SUFFIX, Environ
from app.http.route_options import View, set_options

# An element of the list, which may be empty. A WSGI server joins several header lines with commas.
ELEMENT = re.compile(r'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*)?(?:,|\Z)')
ANY = "*"


def if_match(view: Callable[..., Any]) -> View:
    """Pass the versions that If-Match accepts to ``view`` as ``versions``; None: every version."""

    @wraps(view)
    def with_versions(**arguments: Any) -> Response:
        header = request.environ.get("HTTP_IF_MATCH")
        versions = None if header is None else parse_if_match(header)
        response: Response = view(**arguments, versions=versions)
        return response

    return set_options(with_versions, evaluates_if_match=True)


def parse_if_match(header: str) -> frozenset[str] | None:
    """Return the versions that If-Match accepts, None for ``*``; raise BadRequest.

    A weak ETag accepts no version. The ETag of a compressed response is its version and a suffix.
    """
    if header.strip(" \t") == ANY:
        return None
    versions, tags, position = set(), 0, 0
    while position < len(header):
        element = ELEMENT.match(header, position)
        if element is None:
            break
        weak, version = element.groups()
        tags += version is not None
        if version is not None and not weak:
            versions.add(version.removesuffix(GZIP_ETAG_SUFFIX))
        position = element.end()
    if not tags or position < len(header):
        raise BadRequest('If-Match must be a list of ETags, such as "3" with its quotes, or *.')
    return frozenset(versions)


def check_preconditions(environ: Environ, *, evaluates_if_match: bool) -> None:
    """Reject a write whose preconditions the view does not evaluate."""
    if "HTTP_IF_NONE_MATCH" in environ:
        raise PreconditionFailed("If-None-Match is evaluated for reads only.")
    header = environ.get("HTTP_IF_MATCH")
    if header is None:
        if "HTTP_IF_UNMODIFIED_SINCE" in environ:
            detail = "If-Unmodified-Since is not evaluated: nothing here has a Last-Modified date."
            raise PreconditionFailed(detail)
    elif not evaluates_if_match and parse_if_match(header) is not None:
        raise PreconditionFailed("The resource of this request has no version for If-Match.")
