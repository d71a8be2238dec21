"""The failures that are reported to clients; app/http/problems.py writes them.

The OpenAPI document describes each status by the docstrings of its errors. An error that only one
module raises may stand in that module.

ApiError
├── BadRequest                   400  malformed JSON, an invalid cursor
├── Unauthorized                 401  an API key is missing or invalid
├── Forbidden                    403  the API key lacks the scope
├── ForbiddenOrigin              403  a page of another site opens an event stream
├── NotFound                     404
├── MethodNotAllowed             405  names the allowed methods
├── NotAcceptable                406  the client does not accept JSON
├── RequestTimeout               408  the body did not arrive in time
├── Conflict                     409  conflicts with the current state
│   └── RequestInProgress        409  the first request with this Idempotency-Key is running
├── WindowPassed                 410  the events after this cursor are no longer stored
├── PreconditionFailed           412  If-Match names another version
├── ContentTooLarge              413  more bytes than MAX_BODY_BYTES
├── UnsupportedMediaType         415  the body is not declared as JSON
├── RangeNotSatisfiable          416  the range begins after the end of the file
├── Unprocessable                422  understood but invalid, field by field
├── IdempotencyKeyReused         422  the key was sent with another request before
├── TooManyRequests              429  over the rate limit; Retry-After
├── TooManyQueries               429  too many distinct subscription queries for one topic
├── TooManyOperations            429  too many operations on one connection
├── InternalError                500  a bug: details go to the log alone
├── Unavailable                  503  the database is unavailable; Retry-After
└── OverCapacity                 503  too many live connections; Retry-After
    └── ShuttingDown             503  this process accepts no more live connections
"""

from collections.abc import Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any

from app.json import json_pointers

RETRY_AFTER_SECONDS = 2
CHALLENGE = 'Bearer realm="bookstall"'  # as RFC 6750 specifies
LISTED_ERRORS_MAX = 20
"""A response lists at most this many invalid fields, as a client can send very many of them."""


class ApiError(Exception):
    """A failure that is reported to the client."""

    status: HTTPStatus
    retry_after: int | None = None  # in seconds

    def __init__(self, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self._headers = headers or {}

    def members(self) -> dict[str, Any]:
        """Return the members of the problem document beyond the standard ones."""
        return {}

    def headers(self) -> dict[str, str]:
        retry = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return {**self._headers, **retry}


class BadRequest(ApiError):
    """The request is malformed: invalid JSON, or a cursor that does not belong to this list."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(ApiError):
    """The API key is missing or invalid."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, *, presented: bool) -> None:
        error = ', error="invalid_token"' if presented else ""
        super().__init__(detail, {"WWW-Authenticate": f"{CHALLENGE}{error}"})
        self.presented = presented  # the client sent a key, which is invalid


class Forbidden(ApiError):
    """The API key lacks the scope that the operation requires, its `x-scope`."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, scope: str) -> None:
        challenge = f'{CHALLENGE}, error="insufficient_scope", scope="{scope}"'
        detail = f"This API key lacks the scope {scope}."
        super().__init__(detail, {"WWW-Authenticate": challenge})


class ForbiddenOrigin(ApiError):
    """The request comes from a page of a site that is not allowed."""

    status = HTTPStatus.FORBIDDEN


class NotFound(ApiError):
    """The resource does not exist."""

    status = HTTPStatus.NOT_FOUND


class MethodNotAllowed(ApiError):
    """The resource does not support the method; ``allowed`` lists those that it supports."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: str) -> None:
        super().__init__(f"The allowed methods are {allowed}.", {"Allow": allowed})


class NotAcceptable(ApiError):
    """The client does not accept JSON."""

    status = HTTPStatus.NOT_ACCEPTABLE


class RequestTimeout(ApiError):
    """The body of the request did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT


class Conflict(ApiError):
    """The request conflicts with the current state."""

    status = HTTPStatus.CONFLICT


class RequestInProgress(Conflict):
    """The first request with this Idempotency-Key is still running."""

    retry_after = RETRY_AFTER_SECONDS


class WindowPassed(ApiError):
    """The next event is no longer stored, or the cursor belongs to another log."""

    status = HTTPStatus.GONE

    def __init__(self) -> None:
        super().__init__("The events after this cursor are gone: read the list again.")


class PreconditionFailed(ApiError):
    """If-Match names another version, or the request has a precondition that is not evaluated."""

    status = HTTPStatus.PRECONDITION_FAILED


class ContentTooLarge(ApiError):
    """The body is too large."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedMediaType(ApiError):
    """The body is not declared as application/json."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class RangeNotSatisfiable(ApiError):
    """The range begins after the end of the file."""

    status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE

    def __init__(self, length: int) -> None:
        detail = f"The file has {length} bytes, and none of them is in this range."
        super().__init__(detail, {"Content-Range": f"bytes */{length}"})


class Unprocessable(ApiError):
    """A field or a query parameter is invalid; `errors` lists the first 20 of them."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, messages: Mapping[Any, Any], where: str) -> None:
        leaves = json_pointers(messages)  # of messages as marshmallow nests them
        self.listed = list(islice(leaves, LISTED_ERRORS_MAX))
        more = sum(1 for _ in leaves)
        omitted = f" {more} more error{'s are' if more > 1 else ' is'} not listed." if more else ""
        super().__init__(f"Some fields of the {where} are invalid.{omitted}")
        self.where = where  # "body" or "query"

    def members(self) -> dict[str, Any]:
        """List the first invalid fields, each by its JSON pointer."""
        return {"errors": [{"pointer": p, "in": self.where, "detail": d} for p, d in self.listed]}


class IdempotencyKeyReused(ApiError):
    """The Idempotency-Key was sent with another request before."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY


class TooManyRequests(ApiError):
    """The rate limit is exceeded; retry after `Retry-After` seconds."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many requests; please try again in {seconds} s.")
        self.retry_after = seconds


class TooManyQueries(ApiError):
    """One topic has too many distinct subscription queries: each costs an execution per event."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class TooManyOperations(ApiError):
    """The connection has reached its maximum of simultaneous operations."""

    status = HTTPStatus.TOO_MANY_REQUESTS


class InternalError(ApiError):
    """An internal error; its details are only in the log."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self) -> None:
        super().__init__("An internal error occurred.")


class Unavailable(ApiError):
    """The database is unavailable; retry after `Retry-After` seconds."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    retry_after = RETRY_AFTER_SECONDS


class OverCapacity(ApiError):
    """This process has reached a limit of live connections, for all clients or for this one."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    close_code = 1013  # of a WebSocket: try again later
    retry_after = 5


class ShuttingDown(OverCapacity):
    """This process accepts no more connections."""

    close_code = 1012
    retry_after = 1
