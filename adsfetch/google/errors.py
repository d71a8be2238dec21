"""What the Google Ads client raises, said in our own errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    TimeoutError,  # noqa: A004 - also the builtin's kind
    TokenExpiredError,
    TransientError,
)
from adsfetch.google.credentials import is_refusal

STALE_TOKENS = {"OAUTH_TOKEN_EXPIRED", "OAUTH_TOKEN_INVALID", "GOOGLE_ACCOUNT_COOKIE_INVALID"}
CURES = {
    "USER_PERMISSION_DENIED": "set --login-customer-id to the manager account, or give access",
    "DEVELOPER_TOKEN_NOT_APPROVED": "the developer token is for test accounts only: apply for more",
    "CUSTOMER_NOT_ENABLED": "the account is closed or not set up: check --customer-id",
    "UNSUPPORTED_VERSION": "this version of the API was switched off: choose --api-version",
}
PASSING = (
    api.InternalServerError,
    api.ServiceUnavailable,
    api.Unknown,
    api.Aborted,
    api.Cancelled,
    api.BadGateway,
)


@dataclass(frozen=True)
class Problem:
    """One error of a GoogleAdsFailure: its kind, its code, its words, and how long to wait."""

    kind: str
    code: str
    message: str
    retry_after: float | None

    def __str__(self) -> str:
        """Return the code, the words of the API, and what helps against it."""
        cure = CURES.get(self.code)
        return f"{self.code}: {self.message}" + (f" ({cure})" if cure else "")


def translate(error: Exception, version: str) -> Exception:
    """Return our error for one of the client's; return others as they are."""
    if isinstance(error, GoogleAdsException):
        return by_problem(problems(error.failure), status_name(error))
    if isinstance(error, api.GoogleAPICallError):
        return by_status(error, trailing_problems(error, version))
    if isinstance(error, GoogleAuthError):
        return no_grant(error) if is_refusal(error) else TransientError(f"no token: {error}")
    return error


def no_grant(error: Exception) -> OAuthError:
    """Return the end of a run whose credentials are no longer good."""
    reason = str(error.args[0] if error.args else error)
    return OAuthError(
        f"Google refuses the credentials ({reason}): the grant was revoked or has expired, or the "
        "key was deleted; make a new refresh token or service account key, and put it into the "
        "configuration file"
    )


def by_status(error: api.GoogleAPICallError, found: Sequence[Problem]) -> AdsError:
    """Return our error for one that the client leaves in the words of gRPC."""
    words = error.message or str(error)
    if isinstance(error, api.ResourceExhausted):
        return limited(found, words)
    if isinstance(error, api.DeadlineExceeded):
        return TimeoutError(words)
    if isinstance(error, PASSING):
        return TransientError(f"{type(error).__name__}: {words}")
    if isinstance(error, api.Unauthenticated):
        return TokenExpiredError(words)
    if isinstance(error, api.Forbidden):
        return AuthorizationError(words)
    return QueryError(f"{type(error).__name__}: {words}")


def by_problem(found: Sequence[Problem], status: str) -> AdsError:
    """Return our error for what the API says in detail."""
    kinds = {problem.kind: problem for problem in reversed(found)}
    words = "; ".join(map(str, found))
    if problem := kinds.get("authentication_error"):
        return TokenExpiredError(words) if problem.code in STALE_TOKENS else OAuthError(words)
    if kinds.keys() & {"authorization_error", "header_error"}:
        return AuthorizationError(words)
    if "quota_error" in kinds:
        return limited(found, words)
    if kinds.keys() & {"date_range_error", "date_error"}:
        return DayError(words)
    if "internal_error" in kinds or status in {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"}:
        return TransientError(words or status)
    return QueryError(words or status)


def limited(found: Sequence[Problem], words: str) -> RateLimitError:
    """Return a rate limit with the longest wait that was asked for."""
    waits = [problem.retry_after for problem in found if problem.retry_after is not None]
    message = "; ".join(map(str, found)) or words
    return RateLimitError(max(waits, default=None), message)


def trailing_problems(error: api.GoogleAPICallError, version: str) -> list[Problem]:
    """Return the details that the client does not unpack for RESOURCE_EXHAUSTED and INTERNAL."""
    from google.ads.googleads.client import GoogleAdsClient  # noqa: PLC0415 - cyclic otherwise

    key = f"google.ads.googleads.{version}.errors.googleadsfailure-bin"
    for call in filter(has_trailer, error.errors):
        for name, value in call.trailing_metadata() or ():
            if name == key:
                client = GoogleAdsClient(None, version=version)
                return problems(type(client.get_type("GoogleAdsFailure")).FromString(value))
    return []


def has_trailer(call: Any) -> bool:
    """Tell whether an error of the client still has the gRPC call behind it."""
    return hasattr(call, "trailing_metadata")


def problems(failure: Any) -> list[Problem]:
    """Return the errors of a failure."""
    return [problem(error) for error in convert_proto_plus_to_protobuf(failure).errors]


def problem(error: Any) -> Problem:
    """Return one error with the name of its code."""
    kind = error.error_code.WhichOneof("error_code") or ""
    field = error.error_code.DESCRIPTOR.fields_by_name.get(kind)
    number = getattr(error.error_code, kind, 0) if kind else 0
    value = field.enum_type.values_by_number.get(number) if field else None
    return Problem(kind, value.name if value else "UNKNOWN", error.message, wait_of(error))


def wait_of(error: Any) -> float | None:
    """Return the seconds that a quota error asks for."""
    details = error.details
    if not details.HasField("quota_error_details"):
        return None
    delay = details.quota_error_details.retry_delay
    seconds = float(delay.seconds + delay.nanos / 1e9)
    return seconds or None


def status_name(error: GoogleAdsException) -> str:
    """Return the gRPC status under a GoogleAdsException."""
    code = getattr(error.error, "code", lambda: None)()
    return str(getattr(code, "name", ""))
