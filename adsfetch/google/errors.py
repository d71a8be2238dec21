"""Translate the exceptions of the Google Ads client into the errors of this package."""

import re
from collections.abc import Callable, Sequence
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

NEW_VERSION = "choose another --api-version, or upgrade the package google-ads"
HINTS = {
    "USER_PERMISSION_DENIED": "grant access, or set --login-customer-id to a manager that has it",
    "DEVELOPER_TOKEN_NOT_APPROVED": "the developer token is for test accounts only: request access",
    "CUSTOMER_NOT_ENABLED": "the account is closed or not activated: check --customer-id",
    "UNSUPPORTED_VERSION": f"this version of the API is switched off: {NEW_VERSION}",
}
RETRIED_STATUSES = {"ABORTED", "CANCELLED", "DATA_LOSS", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
RETRIED_STATUS, NO_PROBLEM = "retried status", "no problem"


def once(fatal: type[FatalError]) -> Callable[[str], AdsError]:
    """Return what makes an error that another attempt would meet again."""
    return lambda text: UnconfirmedError(fatal(text), retried=False)


# What the kind or the code of a problem in a GoogleAdsFailure means: the first line that matches.
# Anything else costs its day. What concerns the access or the query concerns every day.
PROBLEMS: tuple[tuple[set[str], Callable[[str], AdsError]], ...] = (
    ({"OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_INVALID"}, TokenExpiredError),
    ({"GOOGLE_ACCOUNT_COOKIE_INVALID"}, TokenExpiredError),
    ({"authentication_error"}, once(OAuthError)),
    ({"authorization_error", "header_error", "not_allowlisted_error"}, once(AuthorizationError)),
    ({"ACCESS_PROHIBITED"}, once(AuthorizationError)),
    ({"DATE_TOO_OLD", "START_DATE_TOO_OLD", "EARLIER_THAN_MINIMUM_DATE"}, UnavailableError),
    ({"INVALID_DATE", "REQUESTED_DATE_GRANULARITY_NOT_SUPPORTED"}, UnavailableError),
    ({"DATE_RANGE_TOO_NARROW", "DATE_RANGE_TOO_WIDE", "MISALIGNED_DATE_FOR_FILTER"}, DayError),
    ({"REQUEST_TOO_LARGE", "DATA_CONSTRAINT_VIOLATION"}, DayError),
    ({RETRIED_STATUS, "internal_error", "database_error"}, TransientError),
    ({"EXPIRED_PAGE_TOKEN", "INVALID_PAGE_TOKEN", "RPC_DEADLINE_TOO_SHORT"}, TransientError),
    ({NO_PROBLEM, "query_error", "request_error", "field_error"}, once(QueryError)),
    ({"enum_error", "customer_error"}, once(QueryError)),
)
# What a gRPC status without a GoogleAdsFailure means. It does not say whether it concerns one day
# or all of them: an UnconfirmedError ends the run only if no day succeeds.
STATUSES: tuple[tuple[type[Exception], Callable[[str], AdsError]], ...] = (
    (api.DeadlineExceeded, TimeoutError),
    (api.Aborted, TransientError),
    (api.Cancelled, TransientError),
    (api.Unauthenticated, TokenExpiredError),
    (api.Forbidden, lambda text: UnconfirmedError(AuthorizationError(text))),
    (api.ClientError, lambda text: UnconfirmedError(QueryError(text))),
    (Exception, TransientError),
)
# What has no code has nothing but its words.
SWITCHED_OFF = re.compile(
    r"method can't be resolved|deprecated|sunset|unsupported version|no longer supported", re.I
)
TOO_LARGE = re.compile(r"message larger than max|message too large", re.I)
CALL_LIMIT = re.compile(r"\bquota|rate.?limit|too many requests", re.I)


@dataclass(frozen=True)
class Problem:
    """One error of a GoogleAdsFailure; ``retry_after`` is in seconds.

    ``account_only``: a limit of calls is that of one account, not of the developer token.
    """

    kind: str
    code: str
    message: str
    retry_after: float | None
    account_only: bool

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
    """Return the error for a gRPC status that the client does not unpack."""
    text = f"{type(error).__name__}: {error.message or error}"
    if found:
        return by_problem(found, text, retried=not isinstance(error, api.ResourceExhausted))
    if isinstance(error, api.ResourceExhausted):
        return exhausted(error, text)
    if isinstance(error, api.MethodNotImplemented) or SWITCHED_OFF.search(text):
        return UnconfirmedError(UsageError(f"{text} ({NEW_VERSION})"))
    return next(make(text) for kinds, make in STATUSES if isinstance(error, kinds))


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
    names = {name for problem in found for name in (problem.kind, problem.code)} or {NO_PROBLEM}
    if retried:
        names.add(RETRIED_STATUS)
    text = "; ".join(map(str, found)) or status
    if "quota_error" in names and "ACCESS_PROHIBITED" not in names:
        waits = [problem.retry_after for problem in found if problem.retry_after is not None]
        account_only = all(problem.account_only for problem in found)
        return RateLimitError(max(waits, default=None), text, account_only=account_only)
    if SWITCHED_OFF.search(text) and NEW_VERSION not in text:
        text += f" ({NEW_VERSION})"
    return next((make(text) for known, make in PROBLEMS if names & known), DayError(text))


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
    quota = error.details.quota_error_details
    seconds = quota.retry_delay.seconds + quota.retry_delay.nanos / 1e9
    name = value.name if value else "UNKNOWN"
    account_only = quota.rate_scope == quota.QuotaRateScope.ACCOUNT
    return Problem(kind, name, error.message, seconds or None, account_only)


def status_name(error: GoogleAdsException) -> str:
    """Return the name of the gRPC status of a GoogleAdsException."""
    code = getattr(error.error, "code", lambda: None)()
    return str(getattr(code, "name", ""))
