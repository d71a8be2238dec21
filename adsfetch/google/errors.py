"""Translate the exceptions of the Google Ads client into the errors of this package."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.ads.googleads.client import GoogleAdsClient
from google.ads.googleads.errors import GoogleAdsException
from google.ads.googleads.util import convert_proto_plus_to_protobuf
from google.api_core import exceptions as api
from google.auth.exceptions import GoogleAuthError

from adsfetch.errors import (
    AdsError,
    AuthorizationError,
    DayError,
    OAuthError,
    QueryError,
    RateLimitError,
    TimeoutError,  # noqa: A004 - a subclass of the builtin
    TokenExpiredError,
    TransientError,
)
from adsfetch.google.credentials import is_permanent

EXPIRED_TOKENS = {"OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_INVALID", "GOOGLE_ACCOUNT_COOKIE_INVALID"}
HINTS = {
    "USER_PERMISSION_DENIED": "set --login-customer-id to the manager account, or grant access",
    "DEVELOPER_TOKEN_NOT_APPROVED": "the developer token is for test accounts only: request access",
    "CUSTOMER_NOT_ENABLED": "the account is closed or not activated: check --customer-id",
    "UNSUPPORTED_VERSION": "this version of the API is switched off: choose another --api-version",
}
TRANSIENT = (
    api.InternalServerError,
    api.ServiceUnavailable,
    api.Unknown,
    api.Aborted,
    api.Cancelled,
    api.BadGateway,
)


@dataclass(frozen=True)
class Problem:
    """One error of a GoogleAdsFailure; ``retry_after`` is in seconds."""

    kind: str
    code: str
    message: str
    retry_after: float | None

    def __str__(self) -> str:
        hint = HINTS.get(self.code)
        return f"{self.code}: {self.message}" + (f" ({hint})" if hint else "")


def translate(error: Exception, version: str) -> Exception:
    """Return the error for an exception of the client; return any other exception as it is."""
    if isinstance(error, GoogleAdsException):
        return by_problem(problems(error.failure), status_name(error))
    if isinstance(error, api.GoogleAPICallError):
        return by_status(error, trailing_problems(error, version))
    if isinstance(error, GoogleAuthError):
        if is_permanent(error):
            return grant_refused(error)
        return TransientError(f"cannot get an access token: {error}")
    return error


def grant_refused(error: Exception) -> OAuthError:
    """Return the error for credentials that are not valid any more."""
    reason = str(error.args[0] if error.args else error)
    return OAuthError(
        f"Google refuses the credentials ({reason}): the grant was revoked or has expired, or the "
        "key was deleted; make a new refresh token or service account key, and put it into the "
        "configuration file"
    )


def by_status(error: api.GoogleAPICallError, found: Sequence[Problem]) -> AdsError:
    """Return the error for a gRPC status that the client does not unpack."""
    message = error.message or str(error)
    if isinstance(error, api.ResourceExhausted):
        return rate_limit(found, message)
    if isinstance(error, api.DeadlineExceeded):
        return TimeoutError(message)
    if isinstance(error, TRANSIENT):
        return TransientError(f"{type(error).__name__}: {message}")
    if isinstance(error, api.Unauthenticated):
        return TokenExpiredError(message)
    if isinstance(error, api.Forbidden):
        return AuthorizationError(message)
    return QueryError(f"{type(error).__name__}: {message}")


def by_problem(found: Sequence[Problem], status: str) -> AdsError:
    """Return the error for a GoogleAdsFailure."""
    kinds = {problem.kind: problem for problem in reversed(found)}
    message = "; ".join(map(str, found))
    if problem := kinds.get("authentication_error"):
        return TokenExpiredError(message) if problem.code in EXPIRED_TOKENS else OAuthError(message)
    if kinds.keys() & {"authorization_error", "header_error"}:
        return AuthorizationError(message)
    if "quota_error" in kinds:
        return rate_limit(found, message)
    if kinds.keys() & {"date_range_error", "date_error"}:
        return DayError(message)
    if "internal_error" in kinds or status in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"}:
        return TransientError(message or status)
    return QueryError(message or status)


def rate_limit(found: Sequence[Problem], default: str) -> RateLimitError:
    """Return a rate limit with the longest delay of all problems."""
    waits = [problem.retry_after for problem in found if problem.retry_after is not None]
    message = "; ".join(map(str, found)) or default
    return RateLimitError(max(waits, default=None), message)


def trailing_problems(error: api.GoogleAPICallError, version: str) -> list[Problem]:
    """Return the problems that the client does not unpack for RESOURCE_EXHAUSTED and INTERNAL."""
    key = f"google.ads.googleads.{version}.errors.googleadsfailure-bin"
    for call in [call for call in error.errors if hasattr(call, "trailing_metadata")]:
        for name, value in call.trailing_metadata() or ():
            if name == key:
                client = GoogleAdsClient(None, version=version)
                return problems(type(client.get_type("GoogleAdsFailure")).FromString(value))
    return []


def problems(failure: Any) -> list[Problem]:
    """Return the problems of a GoogleAdsFailure."""
    return [problem(error) for error in convert_proto_plus_to_protobuf(failure).errors]


def problem(error: Any) -> Problem:
    """Return one problem with the name of its code."""
    kind = error.error_code.WhichOneof("error_code") or ""
    field = error.error_code.DESCRIPTOR.fields_by_name.get(kind)
    number = getattr(error.error_code, kind, 0) if kind else 0
    value = field.enum_type.values_by_number.get(number) if field else None
    delay = error.details.quota_error_details.retry_delay
    seconds = delay.seconds + delay.nanos / 1e9
    return Problem(kind, value.name if value else "UNKNOWN", error.message, seconds or None)


def status_name(error: GoogleAdsException) -> str:
    """Return the name of the gRPC status of a GoogleAdsException."""
    code = getattr(error.error, "code", lambda: None)()
    return str(getattr(code, "name", ""))
