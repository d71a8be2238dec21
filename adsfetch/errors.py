"""The errors of the package, as a tree; the branch decides what happens next.

    AdsError
    ├── TransientError            try the day again after a while
    │   ├── TimeoutError          the same, with more time; a subclass of the builtin too
    │   │   └── StuckError        the call did not return: the day fails
    │   ├── TokenExpiredError     try again at once: the token has been renewed
    │   └── UnconfirmedError      the same; the run ends if no day succeeds
    ├── RateLimitError            pause all workers for `retry_after` seconds
    ├── DayError                  the day fails: another attempt would fail too
    │   └── UnavailableError      the day can never be had: it is not asked for again
    └── FatalError                the run ends: every other day would fail too
        ├── OAuthError            3  the credentials are not valid (any more)
        ├── AuthorizationError    3  they are valid, but do not give access to this account
        ├── QuotaError            4  the quota is used up for longer than a run waits
        ├── StoreError            1  the results cannot be written
        ├── LockedError           1  another run uses the dataset
        ├── ClusterError          1  the Dask cluster that makes the calls cannot be used
        ├── SourceDownError       1  day after day fails: the source does not work at present
        └── UsageError            2  the arguments or the configuration are wrong
            └── QueryError        2  Google Ads rejects the query

The numbers are the exit codes of the command.
"""

import builtins
import copyreg
from typing import Any

from adsfetch.retry_after import parse_retry_after

MAX_REASON = 500  # characters


def describe(error: BaseException) -> str:
    """Return an error in one line of bounded length, without control characters, never empty."""
    try:
        name, text = one_line(type(error).__name__), text_of(error)
        if isinstance(error, BaseExceptionGroup) and error.exceptions:
            text += f", the first: {describe(error.exceptions[0])}"
    except BaseException:  # noqa: BLE001 - an exception of a user may raise any other
        return "an exception that cannot be read"
    return one_line(text if name in text else f"{name}: {text}" if text else name)


def text_of(error: BaseException) -> str:
    """Return the text of an error in one line; it is empty for an error without words."""
    try:
        return one_line(str(error))
    except BaseException:  # noqa: BLE001 - as above
        return "its text cannot be read"


def one_line(text: str) -> str:
    """Return a text in one line of bounded length, without control characters."""
    line = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_REASON])
    line = " ".join(line.split())
    return line if len(line) <= MAX_REASON else line[: MAX_REASON - 3] + "..."


class AdsError(Exception):
    """An error that prevents a report from being fetched or stored."""

    cause = "error"

    def __str__(self) -> str:
        return super().__str__() or type(self).__name__

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process make it without __init__, whose arguments are not those here."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


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


class UnconfirmedError(TransientError):
    """A refusal that usually concerns every day, but one day only where other days succeed.

    ``fatal`` is raised if no day succeeds, after all attempts or, if not ``retried``, after one.
    """

    def __init__(self, fatal: "FatalError", *, retried: bool = True) -> None:
        self.fatal, self.retried = fatal, retried
        super().__init__(str(fatal))


class RateLimitError(AdsError):
    """Too many calls; ``retry_after`` is in seconds, None if the server names no delay.

    It is accepted in any form of ``parse_retry_after``, such as the text of a header.
    ``account_only``: the limit is that of one account, and other accounts need not wait.
    """

    cause = "rate limit"
    retry_after: float | None = None  # for a subclass that does not call __init__
    account_only = False

    def __init__(
        self, retry_after: Any = None, message: str = "", *, account_only: bool = False
    ) -> None:
        self.account_only = account_only
        self.retry_after = parse_retry_after(retry_after)
        delay = "" if self.retry_after is None else f", retry after {self.retry_after:g} s"
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


class LockedError(FatalError):
    """A dataset that another run uses for longer than this one waits."""


class ClusterError(FatalError):
    """A Dask cluster that cannot be reached, or whose workers cannot make a call."""


class SourceDownError(FatalError):
    """A source that fails day after day, so that the rest of the days is not tried."""


class UsageError(FatalError):
    """Wrong arguments or configuration; the message says which and why."""

    exit_code = 2


class QueryError(UsageError):
    """A query that Google Ads rejects."""
