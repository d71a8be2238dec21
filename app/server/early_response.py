"""Responses that a server writes itself, before the application is asked."""

from http import HTTPStatus

from app.json import encode


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
