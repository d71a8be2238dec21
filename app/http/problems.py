"""Error handlers: every failure becomes an application/problem+json document (RFC 9457).

The failures themselves are in app/errors.py.
"""

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, request
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from app.db.errors import is_unavailable, unavailable
from app.errors import ApiError, InternalError
from app.http.instrumentation import REQUEST_ID
from app.http.refusals import count_refusal
from app.http.response import BufferedResponse
from app.http.route_options import options_of
from app.json import encode

PROBLEM = "application/problem+json"
FORWARDED_HEADERS = frozenset({"Allow", "Retry-After", "Location"})
log = logging.getLogger(__name__)


def problem_response(error: ApiError) -> Response:
    """Write ``error`` as the response to the current request."""
    count_refusal(error)
    document = problem_document(error, request.headers.get(REQUEST_ID))
    return Response(encode(document), error.status, error.headers(), mimetype=PROBLEM)


def problem_document(error: ApiError, request_id: str | None) -> dict[str, Any]:
    """Return the members of the problem document of ``error``."""
    return {
        "type": "about:blank",
        "title": error.status.phrase,
        "status": error.status.value,
        "detail": error.detail,
        "request_id": request_id,
        **error.members(),
    }


def buffered_problem(error: ApiError, request_id: str) -> BufferedResponse:
    """Write ``error`` for a request that does not reach Flask."""
    count_refusal(error)
    body = encode(problem_document(error, request_id))
    headers = [("Content-Type", PROBLEM), ("Content-Length", str(len(body)))]
    status = f"{error.status.value} {error.status.phrase.upper()}"
    return BufferedResponse(status, [*headers, *error.headers().items()], body)


def as_api_error(error: Exception, request_id: str | None) -> ApiError:
    """Return what the client is told of ``error``; log what it is not told.

    A failure of werkzeug (404, 405, 413, ...) keeps the headers that belong to it. A database that
    is unavailable, too slow or not migrated is a 503, and any bug a 500 without details.
    """
    if isinstance(error, ApiError):
        return error
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.code or HTTPStatus.INTERNAL_SERVER_ERROR)
        headers = {name: value for name, value in error.get_headers() if name in FORWARDED_HEADERS}
        detail = _why_no_delete(error) or error.description or status.phrase
        problem = ApiError(detail, headers)
        problem.status = status
        return problem
    if isinstance(error, (DBAPIError, PoolTimeoutError)) and is_unavailable(error):
        return unavailable(error)
    log.error("unexpected failure", exc_info=error, extra={"request_id": request_id})
    return InternalError()


def _why_no_delete(error: HTTPException) -> str:
    """Return the ``no_delete`` of the view that shows what a request tries to delete."""
    is_405 = isinstance(error, MethodNotAllowed) and request.method == "DELETE"
    urls = current_app.create_url_adapter(request) if is_405 else None
    if urls is None or "GET" not in urls.allowed_methods():
        return ""
    endpoint, _ = urls.match(method="GET")
    return options_of(current_app.view_functions[endpoint]).no_delete


def handle_error(error: Exception) -> Response:
    """Write ``error`` as the response to the current request."""
    return problem_response(as_api_error(error, request.headers.get(REQUEST_ID)))


def sort_allow(response: Response) -> Response:
    """Sort the methods of Allow: Flask names them in another order in each process."""
    if "Allow" in response.headers:
        response.headers["Allow"] = ", ".join(sorted(response.headers["Allow"].split(", ")))
    return response


def init_app(app: Flask) -> None:
    """Register the error handler."""
    app.after_request(sort_allow)
    app.register_error_handler(Exception, handle_error)
