"""What a client of GraphQL is told that went wrong: each error has a code in its extensions.

The codes of what app/errors.py knows follow from its statuses. Anything else is INTERNAL: the
client learns nothing of it but the id of its request, the log all.
"""

import logging
from http import HTTPStatus
from typing import Any

from graphql import GraphQLError
from sqlalchemy.exc import SQLAlchemyError

from app.errors import ApiError, OurFault, away, is_away

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
    HTTPStatus.UNPROCESSABLE_ENTITY: BAD_USER_INPUT,
    HTTPStatus.TOO_MANY_REQUESTS: "TOO_MANY_REQUESTS",
    HTTPStatus.SERVICE_UNAVAILABLE: "UNAVAILABLE",
}
log = logging.getLogger(__name__)


class Refused(Exception):  # noqa: N818 - not a fault, an answer
    """A request that is not executed; ``errors`` say why, each with its code."""

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(errors[0].message)
        self.errors = list(errors)


def refusal(message: str, code: str, error: GraphQLError | None = None) -> GraphQLError:
    """Say why a request is not executed, at the places of ``error``."""
    return _said(message, {"code": code}, error)


def from_failure(failure: ApiError | SQLAlchemyError, request_id: str) -> GraphQLError:
    """Tell of a failure outside of any field."""
    return coded(GraphQLError("", original_error=failure), request_id)


def coded(error: GraphQLError, request_id: str) -> GraphQLError:
    """Give an error of an execution its code, and hide what is nobody's business."""
    cause = error.original_error
    if isinstance(cause, ApiError):
        return _of_api(cause, error)
    if isinstance(cause, SQLAlchemyError) and is_away(cause):
        return _of_api(away(cause), error)
    if _is_of_a_variable(error):
        return refusal(error.message, BAD_USER_INPUT, error)
    log.error("unexpected failure", exc_info=cause or error, extra={"request_id": request_id})
    return _said(OurFault().detail, {"code": INTERNAL, "requestId": request_id}, error)


def _is_of_a_variable(error: GraphQLError) -> bool:
    """Tell whether a variable is wrong: before any field was asked, or as an argument of one."""
    cause = error.original_error
    if error.path is None:
        return cause is None or isinstance(cause, GraphQLError)
    return isinstance(cause, GraphQLError) and bool(cause.nodes)


def _of_api(failure: ApiError, error: GraphQLError) -> GraphQLError:
    told: dict[str, Any] = {"code": CODES.get(failure.status, INTERNAL), **failure.members()}
    if "Retry-After" in failure.headers():
        told["retryAfter"] = int(failure.headers()["Retry-After"])
    return _said(failure.detail, told, error)


def _said(message: str, extensions: dict[str, Any], at: GraphQLError | None) -> GraphQLError:
    # What a client sent may hold half a character, and comes back in messages.
    printable = message.encode("utf-8", "backslashreplace").decode()
    if at is None:
        return GraphQLError(printable, extensions=extensions)
    return GraphQLError(printable, at.nodes, at.source, at.positions, at.path, None, extensions)
