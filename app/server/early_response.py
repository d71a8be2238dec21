"""Responses that a server writes itself, before the application is asked."""

import socket
from http import HTTPStatus

from gunicorn import util

from app.json import encode
from app.server.bounds import cut

PRIVATE_NAMES = ("gunicorn.util:write_error", "gunicorn.util:write_nonblock")
TOO_LARGE = {HTTPStatus.REQUEST_URI_TOO_LONG, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE}


def early_response(status: int, detail: str, headers: str = "") -> bytes:
    """Return a whole response with a problem document; the connection is closed after it."""
    known = HTTPStatus(status)
    problem = {"type": "about:blank", "title": known.phrase, "status": status, "detail": detail}
    body = encode(problem)
    head = (
        f"HTTP/1.1 {status} {known.phrase}\r\n"
        "Content-Type: application/problem+json\r\n"
        f"Content-Length: {len(body)}\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        f"{headers}"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + body


def write_problem(connection: socket.socket, status: int, reason: str, detail: str) -> None:
    """Respond with a problem document where gunicorn's wsgi worker would write HTML."""
    if status in TOO_LARGE:
        cut("head", "size")
    util.write_nonblock(connection, early_response(status, detail or reason))


util.write_error = write_problem
