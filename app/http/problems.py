"""Every failure is written as application/problem+json, RFC 9457; the failures: app/errors.py."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask, Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from app.errors import ApiError, OurFault, away, is_away
from app.http import instrumentation as observe
from app.http.response import Answer

PROBLEM = "application/problem+json"
log = logging.getLogger(__name__)


def problem(error: ApiError) -> Response:
    """Write ``error`` as the answer of the request at hand."""
    return _problem(error.status, error.detail, error.members(), error.headers())


def _problem(
    status: HTTPStatus, detail: str, members: Mapping[str, Any], headers: Mapping[str, str]
) -> Response:
    document = _document(status, detail, members, request.environ.get(observe.ID))
    answer = Response(document, status, mimetype=PROBLEM)
    answer.headers.update(headers)
    return answer


def _document(status: HTTPStatus, detail: str, members: Mapping[str, Any], asked: Any) -> bytes:
    document = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        "request_id": asked,
        **members,
    }
    return orjson.dumps(document)


def refusal(error: ApiError, request_id: str) -> Answer:
    """Write ``error`` where Flask is not asked."""
    body = _document(error.status, error.detail, error.members(), request_id)
    headers = [("Content-Type", PROBLEM), ("Content-Length", str(len(body)))]
    status = f"{error.status.value} {error.status.phrase.upper()}"
    return Answer(status, [*headers, *error.headers().items()], body)


def from_http_exception(error: HTTPException) -> Response:
    """Give a werkzeug failure (404, 405, 413, ...) our shape, and keep its headers."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    kept = {"Allow", "Retry-After", "Location"}
    headers = {name: value for name, value in error.get_headers() if name in kept}
    return _problem(status, error.description or status.phrase, {}, headers)


def from_database(error: Exception) -> Response:
    """Answer 503 when the database is away or too slow, else 500."""
    if is_away(error):
        return problem(away(error))
    return from_bug(error)


def from_bug(error: Exception) -> Response:
    """Answer 500 without a word about our insides; those go to the log."""
    asked = {"request_id": request.environ.get(observe.ID)}
    log.error("unexpected failure", exc_info=error, extra=asked)
    return problem(OurFault())


def init_app(app: Flask) -> None:
    """Register the handlers."""
    app.register_error_handler(ApiError, problem)
    app.register_error_handler(HTTPException, from_http_exception)
    app.register_error_handler(DBAPIError, from_database)
    app.register_error_handler(PoolTimeoutError, from_database)
    app.register_error_handler(Exception, from_bug)
