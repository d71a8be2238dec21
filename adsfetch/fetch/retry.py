"""The retry policy: which error leads to another attempt, a pause, a failed day or the end."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from adsfetch.errors import (
    AuthorizationError,
    DayError,
    FatalError,
    OAuthError,
    QueryError,
    QuotaError,
    RateLimitError,
    StuckError,
    TokenExpiredError,
    UnconfirmedError,
)
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.throttle import Stopped, Throttle
from adsfetch.retry_after import parse_retry_after

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

Result = TypeVar("Result")

# Programming errors do not pass with time; any other exception of a source may.
NON_RETRYABLE = (
    Stopped,
    FatalError,
    DayError,
    StuckError,
    TypeError,
    AttributeError,
    NameError,
    ImportError,
    SyntaxError,
    AssertionError,
    NotImplementedError,
    RecursionError,
)

# What Google says about one account is no reason to give up the others.
OF_AN_ACCOUNT = AuthorizationError, QueryError


@dataclass(frozen=True)
class Retry:
    """How often and how long to try one day; times are in seconds.

    The waits grow exponentially from ``wait_initial`` to ``wait_max``, with full jitter.
    """

    attempts: int = 5
    wait_initial: float = 1.0
    wait_max: float = 60.0
    give_up_after: float = 1800.0
    longest_pause: float = 900.0

    def pause_after(self, error: RateLimitError, refusals: int) -> float:
        """Return the length of the next pause; ``refusals`` pauses came before, with no success.

        Without a delay from the server the pause doubles each time. Raise QuotaError when it
        is longer than a run waits.
        """
        doubled = min(self.wait_initial * 2 ** min(refusals, 30), self.wait_max)
        named = None
        with suppress(BaseException):  # code of a source: a property, or an object it has set
            named = parse_retry_after(error.retry_after)
        seconds = doubled if named is None else named
        if seconds > self.longest_pause:
            raise QuotaError(
                f"the quota is used up for another {seconds / 3600:.1f} hours; what was fetched "
                "is stored, run the same command again after that"
            ) from error
        return seconds


class RetriedCall:
    """One day, or one call at the start of a run, with its attempts; ``tries`` counts them.

    Rate limits are counted apart and allow twice the attempts, because they are not the fault of
    the day. If no call of any day succeeds during all of these, the quota is used up.

    With several accounts ``pause_account`` pauses the one of this day. A limit of its own then
    pauses no other, and a refusal of it says nothing about the others.
    """

    def __init__(
        self,
        retry: Retry,
        throttle: Throttle,
        metrics: CallMetrics,
        pause_account: Callable[[float], None] | None = None,
    ) -> None:
        self._retry, self._throttle, self._metrics = retry, throttle, metrics
        self._pause_account, self._account_pause = pause_account, 0.0
        self._successes_before = throttle.successes
        self._rate_limits = 0
        self._refused = False
        self.tries = 0

    def __call__(self, call: Callable[[], Result]) -> Result:
        """Return the result of the first attempt that succeeds; raise the error of the last."""
        try:
            result: Result = self._retrying()(self._attempt, call)
        except QuotaError:
            self._count_refusal()
            self._throttle.drain()
            raise
        else:
            return result
        finally:
            if self._refused:
                self._throttle.count_first_refusal(-1)

    def alone(self, call: Callable[[], Result]) -> Result:
        """Do the same for a call beside which there are no days that could show another cause."""
        try:
            return self(call)
        except UnconfirmedError as error:
            raise error.fatal from error

    def _retrying(self) -> "Retrying":
        import tenacity  # noqa: PLC0415 - a run with nothing to do need not load it

        backoff = tenacity.wait_random_exponential(self._retry.wait_initial, self._retry.wait_max)

        def wait(state: "RetryCallState") -> float:
            # After a rate limit the throttle waits; after a renewed token no wait is needed.
            no_wait = isinstance(error_of(state), RateLimitError | TokenExpiredError)
            seconds, self._account_pause = self._account_pause, 0.0
            return seconds if no_wait else backoff(state)

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Exception)
            & tenacity.retry_if_not_exception_type(NON_RETRYABLE),
            stop=self._stop,
            wait=wait,
            sleep=self._throttle.sleep,
            before_sleep=lambda state: self._metrics.count_retry(error_of(state)),
            reraise=True,
        )

    def _attempt(self, call: Callable[[], Result]) -> Result:
        self.tries += 1
        with self._throttle.acquire(first_call=self.tries == 1) as pauses:
            try:
                return call()
            except RateLimitError as error:
                if self._pause_account and error.account_only:
                    self._account_pause = self._retry.pause_after(error, self._rate_limits)
                    self._pause_account(self._account_pause)
                else:
                    seconds = self._retry.pause_after(error, self._throttle.refusals)
                    self._throttle.pause(seconds, pauses)
                raise

    def _stop(self, state: "RetryCallState") -> bool:
        """Return True to fail the day, or raise the error that ends the run."""
        error, retry = error_of(state), self._retry
        self._count_refusal()
        if isinstance(error, RateLimitError):
            self._rate_limits += 1
            enough = self._rate_limits >= 2 * retry.attempts
        else:
            once = isinstance(error, UnconfirmedError) and not error.retried
            enough = once or self.tries - self._rate_limits >= retry.attempts
        if enough:
            self._end_run_if_every_day_fails(error)
        return enough or (state.seconds_since_start or 0.0) >= retry.give_up_after

    def _count_refusal(self) -> None:
        if not self._refused:
            self._refused = True
            self._throttle.count_first_refusal(1)

    def _end_run_if_every_day_fails(self, error: BaseException | None) -> None:
        """Raise what an error means for the whole run, unless a day shows that it does not.

        The days that were started at the same time are waited for: one of them may succeed, or
        show that the authorisation, not the quota, is at fault.
        """
        fatal = fatal_form(error)
        if fatal is None or (self._pause_account and isinstance(fatal, OF_AN_ACCOUNT)):
            return
        # A quota can be used up in mid-run; any success shows that the access is right.
        before = self._successes_before if isinstance(error, RateLimitError) else 0
        if not self._throttle.any_success(since=before):
            raise fatal


def fatal_form(error: BaseException | None) -> FatalError | None:
    """Return what an error means if it concerns every day; None if it concerns only its own."""
    if isinstance(error, RateLimitError):
        return QuotaError(
            "every call was refused for too many calls, and no other day succeeded: the quota is "
            "used up; what was fetched is stored, run the same command again later"
        )
    if isinstance(error, TokenExpiredError):
        return OAuthError(f"every renewed access token is refused: {error}")
    return error.fatal if isinstance(error, UnconfirmedError) else None


def error_of(state: "RetryCallState") -> BaseException | None:
    """Return the error of the last attempt."""
    return state.outcome.exception() if state.outcome else None
