"""What can go wrong, as a tree: the branch says what the error asks for.

    AdsError
    ├── TransientError            try again, after a while
    │   ├── TimeoutError          the same, with more time; also the builtin's kind
    │   │   └── StuckError        the call never came back: give up the day
    │   └── TokenExpiredError     try again at once, the token has been renewed
    ├── RateLimitError            wait `retry_after` seconds, all workers together
    ├── DayError                  give up the day: it would fail for ever
    └── FatalError                give up the run: every other day would fail alike
        ├── OAuthError            3  the credentials are not (or no longer) good
        ├── AuthorizationError    3  they are good, and may not see this account
        ├── QuotaError            4  the quota is used up for longer than one waits
        ├── StoreError            1  the results cannot be written
        └── UsageError            2  what was asked for makes no sense
            └── QueryError        2  Google Ads does not understand the query

The numbers are the exit codes of the command.
"""

import builtins


class AdsError(Exception):
    """Anything that keeps a report from being fetched or kept."""

    cause = "error"

    def __str__(self) -> str:
        """Say something even where the one who raised it said nothing."""
        return super().__str__() or type(self).__name__


class TransientError(AdsError):
    """A failure that is likely to pass."""

    cause = "transient"


class TimeoutError(TransientError, builtins.TimeoutError):  # noqa: A001 - users catch either
    """A call that took longer than it may."""

    cause = "timeout"


class StuckError(TimeoutError):
    """A call that did not come back in time and could not be stopped either."""


class TokenExpiredError(TransientError):
    """An access token that was refused and has been renewed since."""

    cause = "token"


class RateLimitError(AdsError):
    """Too many calls: come back after ``retry_after`` seconds, if it is known."""

    cause = "rate limit"

    def __init__(self, retry_after: float | None = None, message: str = "") -> None:
        self.retry_after = retry_after
        known = "" if retry_after is None else f", asked to wait {retry_after:g} s"
        super().__init__(message or f"rate limit reached{known}")


class DayError(AdsError):
    """A failure that belongs to one day and will not pass."""

    cause = "day"


class FatalError(AdsError):
    """A failure that every other day would meet too."""

    cause = "fatal"
    exit_code = 1


class OAuthError(FatalError):
    """Credentials that are wrong, expired or revoked."""

    exit_code = 3


class AuthorizationError(FatalError):
    """Good credentials without the right to read this account."""

    exit_code = 3


class QuotaError(FatalError):
    """A quota that is used up for longer than a run waits."""

    exit_code = 4


class StoreError(FatalError):
    """A folder or disk that does not take the results."""

    exit_code = 1


class UsageError(FatalError):
    """Words of the user that make no sense; the message says which and why."""

    exit_code = 2


class QueryError(UsageError):
    """A query that Google Ads does not understand."""
