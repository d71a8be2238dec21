"""Translate the exceptions of the Google Ads client into the errors of this package."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.ads.googleads.client import GoogleAdsClient
from google.ads.googleads.errors import GoogleAdsException
from google.ads.googleads.util import convert_proto_plus_to_protobuf
from google.api_core import exceptions as api
from google.auth import exceptions as auth

from adsfetch.errors import (
    AdsError,
    AuthorizationError,
    DayError,
    FatalError,
    OAuthError,
    QueryError,
    RateLimitError,
    TimeoutError,  # noqa: A004 - a subclass of the builtin
    TokenExpiredError,
    TransientError,
    UnavailableError,
    UnconfirmedError,
    UsageError,
    describe,
)
from adsfetch.google.credentials import is_permanent

EXPIRED_TOKENS = {"OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_INVALID", "GOOGLE_ACCOUNT_COOKIE_INVALID"}
NEW_VERSION = "choose another --api-version, or upgrade the package google-ads"
HINTS = {
    "USER_PERMISSION_DENIED": "set --login-customer-id to the manager account, or grant access",
    "DEVELOPER_TOKEN_NOT_APPROVED": "the developer token is for test accounts only: request access",
    "CUSTOMER_NOT_ENABLED": "the account is closed or not activated: check --customer-id",
    "UNSUPPORTED_VERSION": f"this version of the API is switched off: {NEW_VERSION}",
}
# What a kind of problem in a GoogleAdsFailure concerns; a problem of another kind costs its day.
ACCESS = {"authorization_error", "header_error", "not_allowlisted_error"}
QUERY = {"query_error", "request_error", "field_error", "enum_error", "customer_error"}
TEMPORARY = {"internal_error", "database_error"}
# Codes that mean something else than the rest of their kind.
OLD_DAYS = {
    "DATE_TOO_OLD",
    "EARLIER_THAN_MINIMUM_DATE",
    "INVALID_DATE",
    "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED",
    "START_DATE_TOO_OLD",
}
ONE_DAY = {
    "DATA_CONSTRAINT_VIOLATION",
    "DATE_RANGE_TOO_NARROW",
    "DATE_RANGE_TOO_WIDE",
    "MISALIGNED_DATE_FOR_FILTER",
    "REQUEST_TOO_LARGE",
}
RETRIED = {"EXPIRED_PAGE_TOKEN", "INVALID_PAGE_TOKEN", "RPC_DEADLINE_TOO_SHORT"}
RETRIED_STATUSES = {"ABORTED", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
TRANSIENT = (
    api.InternalServerError,
    api.ServiceUnavailable,
    api.Unknown,
    api.Aborted,
    api.Cancelled,
    api.DataLoss,
    api.BadGateway,
)
# Statuses without a GoogleAdsFailure have nothing but their words.
SWITCHED_OFF = re.compile(
    r"method can't be resolved|deprecated|sunset|unsupported version|no longer supported", re.I
)
TOO_LARGE = re.compile(r"message larger than max|message too large", re.I)
CALL_LIMIT = re.compile(r"\bquota|rate.?limit|too many requests", re.I)


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
        status = status_name(error)
        return by_problem(problems(error.failure), status, retried=status in RETRIED_STATUSES)
    if isinstance(error, api.GoogleAPICallError):
        return by_status(error, trailing_problems(error, version))
    if isinstance(error, auth.GoogleAuthError):
        return by_auth_error(error)
    return error


def by_auth_error(error: auth.GoogleAuthError) -> AdsError:
    """Return the error for what the authentication library raises."""
    if is_permanent(error):
        return grant_refused(error)
    network = auth.TransportError, auth.TimeoutError, auth.ResponseError
    if error.retryable or isinstance(error, network):
        return TransientError(f"cannot get an access token: {error}")
    return OAuthError(f"the credentials cannot be used: {describe(error)}")


def grant_refused(error: Exception) -> OAuthError:
    """Return the error for credentials that are not valid any more."""
    reason = str(error.args[0] if error.args else error)
    return OAuthError(
        f"Google refuses the credentials ({reason}): the grant was revoked or has expired, or the "
        "key was deleted; make a new refresh token or service account key, and put it into the "
        "configuration file"
    )


def by_status(error: api.GoogleAPICallError, found: Sequence[Problem]) -> AdsError:
    """Return the error for a gRPC status that the client does not unpack.

    A status without a GoogleAdsFailure does not say whether it concerns one day or all of them:
    it ends the run only if no day succeeds.
    """
    message = error.message or str(error)
    named = f"{type(error).__name__}: {message}"
    if found:
        return by_problem(found, named, retried=isinstance(error, TRANSIENT))
    if isinstance(error, api.ResourceExhausted):
        return exhausted(error, named)
    if isinstance(error, api.DeadlineExceeded):
        return TimeoutError(message)
    if isinstance(error, api.MethodNotImplemented) or SWITCHED_OFF.search(message):
        return UnconfirmedError(UsageError(f"{named} ({NEW_VERSION})"))
    if isinstance(error, api.Unauthenticated):
        return TokenExpiredError(message)
    if isinstance(error, api.Forbidden):
        return UnconfirmedError(AuthorizationError(named))
    if isinstance(error, api.ClientError) and not isinstance(error, TRANSIENT):
        return UnconfirmedError(QueryError(named))
    return TransientError(named)


def exhausted(error: api.GoogleAPICallError, message: str) -> AdsError:
    """Return the error for RESOURCE_EXHAUSTED without a QuotaError: of calls, bytes or memory."""
    delays = [detail.retry_delay for detail in error.details if hasattr(detail, "retry_delay")]
    if delays or CALL_LIMIT.search(message):
        waits = [delay.seconds + delay.nanos / 1e9 for delay in delays]
        return RateLimitError(max(waits, default=None), message)
    if TOO_LARGE.search(message):
        return DayError(f"{message} (select fewer fields)")
    return TransientError(message)


def by_problem(found: Sequence[Problem], status: str, *, retried: bool) -> AdsError:
    """Return the error for a GoogleAdsFailure; ``status`` is its text if it has no problems."""
    kinds = {problem.kind for problem in found}
    codes = {problem.code for problem in found}
    message = "; ".join(map(str, found)) or status
    if "authentication_error" in kinds:
        expired = codes & EXPIRED_TOKENS
        return TokenExpiredError(message) if expired else every_day(OAuthError(message))
    if kinds & ACCESS or "ACCESS_PROHIBITED" in codes:
        return every_day(AuthorizationError(message))
    if "quota_error" in kinds:
        return rate_limit(found, message)
    if codes & OLD_DAYS:
        return UnavailableError(message)
    if codes & ONE_DAY:
        return DayError(message)
    if retried or kinds & TEMPORARY or codes & RETRIED:
        return TransientError(message)
    if SWITCHED_OFF.search(message) and NEW_VERSION not in message:
        message += f" ({NEW_VERSION})"
    return every_day(QueryError(message)) if kinds & QUERY or not found else DayError(message)


def every_day(fatal: FatalError) -> UnconfirmedError:
    """Return an error that another attempt would meet again, and every other day too."""
    return UnconfirmedError(fatal, retried=False)


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
