"""Error handlers: every failure becomes an application/problem+json document (RFC 9457).

The failures themselves are in app/errors.py.
"""

import logging
from http import HTTPStatus

from flask import Flask, Response, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException

from app.db.errors import is_unavailable, unavailable
from app.errors import ApiError, InternalError
from app.http.instrumentation import REQUEST_ID
from app.http.response import BufferedResponse
from app.json import encode

PROBLEM = "application/problem+json"
FORWARDED_HEADERS = frozenset({"Allow", "Retry-After", "Location"})
log = logging.getLogger(__name__)


def problem_response(error: ApiError) -> Response:
    """Write ``error`` as the response to the current request."""
    document = _document(error, request.headers.get(REQUEST_ID))
    return Response(document, error.status, error.headers(), mimetype=PROBLEM)


def _document(error: ApiError, request_id: str | None) -> bytes:
    document = {
        "type": "about:blank",
        "title": error.status.phrase,
        "status": error.status.value,
        "detail": error.detail,
        "request_id": request_id,
        **error.members(),
    }
    return encode(document)


def buffered_problem(error: ApiError, request_id: str) -> BufferedResponse:
    """Write ``error`` for a request that does not reach Flask."""
    body = _document(error, request_id)
    headers = [("Content-Type", PROBLEM), ("Content-Length", str(len(body)))]
    status = f"{error.status.value} {error.status.phrase.upper()}"
    return BufferedResponse(status, [*headers, *error.headers().items()], body)


def handle_http_exception(error: HTTPException) -> Response:
    """Write a failure of werkzeug (404, 405, 413, ...), with the headers that belong to it."""
    status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {name: value for name, value in error.get_headers() if name in FORWARDED_HEADERS}
    problem = ApiError(error.description or status.phrase, headers)
    problem.status = status
    return problem_response(problem)


def handle_database_error(error: Exception) -> Response:
    """Respond 503 when the database is unavailable, too slow or not migrated, else 500."""
    if is_unavailable(error):
        return problem_response(unavailable(error))
    return handle_bug(error)


def handle_bug(error: Exception) -> Response:
    """Respond 500 without details, which go to the log."""
    extra = {"request_id": request.headers.get(REQUEST_ID)}
    log.error("unexpected failure", exc_info=error, extra=extra)
    return problem_response(InternalError())


def sort_allow(response: Response) -> Response:
    """Sort the methods of Allow: Flask names them in another order in each process."""
    if "Allow" in response.headers:
        response.headers["Allow"] = ", ".join(sorted(response.headers["Allow"].split(", ")))
    return response


def init_app(app: Flask) -> None:
    """Register the error handlers."""
    app.after_request(sort_allow)
    app.register_error_handler(ApiError, problem_response)
    app.register_error_handler(HTTPException, handle_http_exception)
    app.register_error_handler(DBAPIError, handle_database_error)
    app.register_error_handler(PoolTimeoutError, handle_database_error)
    app.register_error_handler(Exception, handle_bug)
