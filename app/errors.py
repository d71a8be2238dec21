"""What a client can be told that went wrong; app/http/problems.py writes it.

ApiError
├── BadRequest            400  not JSON, a cursor that is not ours
├── Unauthorized          401  no key where one is needed, or not a good one
├── Forbidden             403  a good key without the scope
├── NotFound              404
├── NotAcceptable         406
├── Conflict              409
├── WindowPassed          410  what followed on a cursor of an event is not kept any more
├── PreconditionFailed    412  If-Match lost
├── UnsupportedMediaType  415
├── Unprocessable         422  understood and wrong, field by field
├── TooManyRequests       429  more than the limit; carries Retry-After
└── Unavailable           503  the database is away; carries Retry-After
"""

import logging
import sqlite3
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

RETRY_AFTER_SECONDS = 2
log = logging.getLogger(__name__)


class ApiError(Exception):
    """A failure that a client is told about."""

    status: ClassVar[HTTPStatus]

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    def members(self) -> dict[str, Any]:
        """Return what the problem says beyond the members that every problem has."""
        return {}

    def headers(self) -> dict[str, str]:
        """Return the headers that belong to this failure."""
        return {}


class BadRequest(ApiError):  # noqa: N818 - these are named as HTTP names them
    """The request cannot be read."""

    status = HTTPStatus.BAD_REQUEST


class Unauthorized(ApiError):  # noqa: N818
    """Nobody knows who is asking. ``presented`` says that it was tried with a bad key."""

    status = HTTPStatus.UNAUTHORIZED

    def __init__(self, detail: str, *, presented: bool) -> None:
        super().__init__(detail)
        self.presented = presented

    def headers(self) -> dict[str, str]:
        """Challenge, as RFC 6750 has it."""
        error = ', error="invalid_token"' if self.presented else ""
        return {"WWW-Authenticate": f'Bearer realm="bookstall"{error}'}


class Forbidden(ApiError):  # noqa: N818
    """The key is good, and has not the scope."""

    status = HTTPStatus.FORBIDDEN

    def __init__(self, scope: str) -> None:
        super().__init__(f"This key has not the scope {scope}.")
        self.scope = scope

    def headers(self) -> dict[str, str]:
        """Name the scope, as RFC 6750 has it."""
        told = f'Bearer realm="bookstall", error="insufficient_scope", scope="{self.scope}"'
        return {"WWW-Authenticate": told}


class NotFound(ApiError):  # noqa: N818
    """There is no such thing."""

    status = HTTPStatus.NOT_FOUND


class NotAcceptable(ApiError):  # noqa: N818
    """The client wants something else than JSON."""

    status = HTTPStatus.NOT_ACCEPTABLE


class Conflict(ApiError):  # noqa: N818
    """The request is sound, and what is stored forbids it."""

    status = HTTPStatus.CONFLICT


class WindowPassed(ApiError):  # noqa: N818
    """The next event is no longer kept, or the cursor is of another log."""

    status = HTTPStatus.GONE

    def __init__(self) -> None:
        super().__init__(
            "The window of this cursor has passed: read the list again, and go on from there."
        )


class PreconditionFailed(ApiError):  # noqa: N818
    """Somebody else was first."""

    status = HTTPStatus.PRECONDITION_FAILED


class UnsupportedMediaType(ApiError):  # noqa: N818
    """The body is not declared to be JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class Unprocessable(ApiError):  # noqa: N818
    """The request is understood, and some fields of it are wrong.

    ``messages`` is marshmallow's tree; ``where`` is ``body`` or ``query``.
    """

    status = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, messages: Mapping[Any, Any], where: str) -> None:
        super().__init__(f"Some fields of the {where} are wrong.")
        self.messages = messages
        self.where = where

    def members(self) -> dict[str, Any]:
        """List each wrong field by its JSON pointer."""
        found = [
            {"pointer": _printable(pointer), "in": self.where, "detail": _printable(detail)}
            for pointer, detail in _leaves(self.messages)
        ]
        return {"errors": found}


class TooManyRequests(ApiError):  # noqa: N818
    """The client has used up its quota; it may come back after ``seconds``."""

    status = HTTPStatus.TOO_MANY_REQUESTS

    def __init__(self, seconds: int) -> None:
        super().__init__(f"Too many requests; please try again in {seconds} s.")
        self.seconds = seconds

    def headers(self) -> dict[str, str]:
        """Tell when to come back."""
        return {"Retry-After": str(self.seconds)}


class OurFault(ApiError):  # noqa: N818
    """A fault of ours, of which the client learns nothing."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR

    def __init__(self) -> None:
        super().__init__("Something went wrong on our side.")


class Unavailable(ApiError):  # noqa: N818
    """The database cannot be asked now."""

    status = HTTPStatus.SERVICE_UNAVAILABLE

    def headers(self) -> dict[str, str]:
        """Tell when to come back."""
        return {"Retry-After": str(RETRY_AFTER_SECONDS)}


def _leaves(messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            step = "" if key == "_schema" else f"/{_escaped(str(key))}"
            yield from _leaves(below, path + step)
    else:
        yield from ((path, str(message)) for message in messages)


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _printable(text: str) -> str:
    """Write out lone surrogates, which a client may send in a name and UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()


def away(error: Exception) -> Unavailable:
    """Note that the database is away, and return what a client is told of it."""
    log.warning("database away: %s", str(error).splitlines()[0])
    return Unavailable("The database cannot be reached now. Please try again.")


def is_away(error: BaseException) -> bool:
    """Tell whether ``error`` is about reaching the database, not about what was asked of it."""
    if isinstance(error, PoolTimeoutError):
        return True
    if isinstance(error, OperationalError):
        # psycopg2 calls lost connections, time-outs, full disks and locks so; SQLite wrong SQL too.
        return getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR
    return isinstance(error, DBAPIError) and error.connection_invalidated
