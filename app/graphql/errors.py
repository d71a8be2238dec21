"""GraphQL errors, each with a code in its extensions.

The code of an ApiError follows from its status. Any other failure is INTERNAL: the client gets
only the request id, and the details go to the log.
"""

import logging
from http import HTTPStatus
from typing import Any

from graphql import GraphQLError
from sqlalchemy.exc import SQLAlchemyError

from app.db.errors import is_unavailable, unavailable
from app.errors import ApiError, InternalError
from app.http.refusals import count_refusal
from app.json import escape_surrogates

PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
BAD_USER_INPUT = "BAD_USER_INPUT"
BAD_REQUEST = "BAD_REQUEST"
UNAUTHENTICATED = "UNAUTHENTICATED"
INTERNAL = "INTERNAL"
CODES = {
    HTTPStatus.BAD_REQUEST: BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED: UNAUTHENTICATED,
    HTTPStatus.FORBIDDEN: "FORBIDDEN",
    HTTPStatus.NOT_FOUND: "NOT_FOUND",
    HTTPStatus.CONFLICT: "CONFLICT",
    HTTPStatus.GONE: "WINDOW_PASSED",
    HTTPStatus.PRECONDITION_FAILED: "PRECONDITION_FAILED",
    HTTPStatus.UNPROCESSABLE_ENTITY: BAD_USER_INPUT,
    HTTPStatus.TOO_MANY_REQUESTS: "TOO_MANY_REQUESTS",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}
log = logging.getLogger(__name__)


class RequestError(Exception):
    """The request is not executed; ``errors`` are the reasons, each with its code."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(errors[0].message)
        self.errors = list(errors)


def request_error(message: str, code: str, error: GraphQLError | None = None) -> GraphQLError:
    """Return the reason why a request is not executed, with the locations of ``error``."""
    return _graphql_error(message, {"code": code}, error or GraphQLError(""))


def from_failure(failure: Exception, request_id: str) -> GraphQLError:
    """Return the error for a failure outside the fields."""
    return with_code(GraphQLError("", original_error=failure), request_id)


def with_code(error: GraphQLError, request_id: str) -> GraphQLError:
    """Add the code to an execution error, and hide internal details."""
    cause = error.original_error
    if isinstance(cause, ApiError):
        return _from_api_error(cause, error)
    if isinstance(cause, SQLAlchemyError) and is_unavailable(cause):
        return _from_api_error(unavailable(cause), error)
    if _is_input_error(error):
        return request_error(error.message, BAD_USER_INPUT, error)
    log.error("unexpected failure", exc_info=cause or error, extra={"request_id": request_id})
    extensions = {"code": INTERNAL, "requestId": request_id}
    return _graphql_error(InternalError().detail, extensions, error)


def _is_input_error(error: GraphQLError) -> bool:
    """Return whether a variable is invalid, by itself or as the argument of a field."""
    cause = error.original_error
    if error.path is None:
        return cause is None or isinstance(cause, GraphQLError)
    return isinstance(cause, GraphQLError) and bool(cause.nodes)


def _from_api_error(failure: ApiError, error: GraphQLError) -> GraphQLError:
    count_refusal(failure)
    extensions: dict[str, Any] = {"code": CODES.get(failure.status, INTERNAL), **failure.members()}
    if failure.retry_after is not None:
        extensions["retryAfter"] = failure.retry_after
    return _graphql_error(failure.detail, extensions, error)


def _graphql_error(message: str, extensions: dict[str, Any], at: GraphQLError) -> GraphQLError:
    printable = escape_surrogates(message)
    return GraphQLError(printable, at.nodes, at.source, at.positions, at.path, None, extensions)
