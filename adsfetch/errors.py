"""The errors of the package, as a tree; the branch decides what happens next.

    AdsError
    ├── TransientError            try the day again after a while
    │   ├── TimeoutError          the same, with more time; a subclass of the builtin too
    │   │   └── StuckError        the call did not return: the day fails
    │   └── TokenExpiredError     try again at once: the token has been renewed
    ├── RateLimitError            pause all workers for `retry_after` seconds
    ├── DayError                  the day fails: another attempt would fail too
    │   └── UnavailableError      the day can never be had: it is not asked for again
    └── FatalError                the run ends: every other day would fail too
        ├── OAuthError            3  the credentials are not valid (any more)
        ├── AuthorizationError    3  they are valid, but do not give access to this account
        ├── QuotaError            4  the quota is used up for longer than a run waits
        ├── StoreError            1  the results cannot be written
        └── UsageError            2  the arguments or the configuration are wrong
            └── QueryError        2  Google Ads rejects the query

The numbers are the exit codes of the command.
"""

import builtins


class AdsError(Exception):
    """An error that prevents a report from being fetched or stored."""

    cause = "error"

    def __str__(self) -> str:
        return super().__str__() or type(self).__name__


class TransientError(AdsError):
    """A temporary failure."""

    cause = "transient"


class TimeoutError(TransientError, builtins.TimeoutError):  # noqa: A001 - users catch either
    """A call that exceeded its time limit."""

    cause = "timeout"


class StuckError(TimeoutError):
    """A call that exceeded its time limit and could not be cancelled."""


class TokenExpiredError(TransientError):
    """An access token that was refused and has been renewed since."""

    cause = "token"


class RateLimitError(AdsError):
    """Too many calls; ``retry_after`` is in seconds, None if the server names no delay."""

    cause = "rate limit"

    def __init__(self, retry_after: float | None = None, message: str = "") -> None:
        self.retry_after = retry_after
        delay = "" if retry_after is None else f", retry after {retry_after:g} s"
        super().__init__(message or f"rate limit reached{delay}")


class DayError(AdsError):
    """A permanent failure of one day."""

    cause = "day"


class UnavailableError(DayError):
    """A day that the source no longer has, or never had, and that no later run can fetch."""

    cause = "unavailable"


class FatalError(AdsError):
    """A permanent failure of every day."""

    cause = "fatal"
    exit_code = 1


class OAuthError(FatalError):
    """Credentials that are wrong, expired or revoked."""

    exit_code = 3


class AuthorizationError(FatalError):
    """Valid credentials without permission to read this account."""

    exit_code = 3


class QuotaError(FatalError):
    """A quota that is used up for longer than a run waits."""

    exit_code = 4


class StoreError(FatalError):
    """A folder or disk to which the results cannot be written."""


class UsageError(FatalError):
    """Wrong arguments or configuration; the message says which and why."""

    exit_code = 2


class QueryError(UsageError):
    """A query that Google Ads rejects."""
