"""The retry policy: which error leads to another attempt, a pause, a failed day or the end."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from adsfetch.errors import (
    DayError,
    FatalError,
    OAuthError,
    QuotaError,
    RateLimitError,
    StuckError,
    TokenExpiredError,
)
from adsfetch.fetch.metrics import CallMetrics
from adsfetch.fetch.throttle import Stopped, Throttle

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

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
    AssertionError,
    NotImplementedError,
)


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

    def retrying(self, throttle: Throttle, metrics: CallMetrics) -> "Retrying":
        """Return the loop of attempts for one day, or for one call at the start of a run."""
        import tenacity  # noqa: PLC0415 - a run with nothing to do need not load it

        backoff = tenacity.wait_random_exponential(self.wait_initial, self.wait_max)

        def wait(state: "RetryCallState") -> float:
            # After a rate limit the throttle waits; after a renewed token no wait is needed.
            no_wait = isinstance(error_of(state), RateLimitError | TokenExpiredError)
            return 0.0 if no_wait else backoff(state)

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(Exception)
            & tenacity.retry_if_not_exception_type(NON_RETRYABLE),
            stop=StopPolicy(self, throttle),
            wait=wait,
            sleep=throttle.sleep,
            before_sleep=lambda state: metrics.count_retry(error_of(state)),
            reraise=True,
        )

    def pause_after(self, error: RateLimitError, refusals: int) -> float:
        """Return the length of the next pause; ``refusals`` pauses came before, with no success.

        Without a delay from the server the pause doubles each time. Raise QuotaError when it
        is longer than a run waits.
        """
        doubled = min(self.wait_initial * 2 ** min(refusals, 30), self.wait_max)
        seconds = doubled if error.retry_after is None else error.retry_after
        if seconds > self.longest_pause:
            raise QuotaError(
                f"the quota is used up for another {seconds / 3600:.1f} hours; what was fetched "
                "is stored, run the same command again after that"
            ) from error
        return max(seconds, 0.0)


class StopPolicy:
    """Decide for one day when to stop trying.

    Rate limits are counted apart and allow twice the attempts, because they are not the fault of
    the day. If no call of any day succeeds during all of these, the quota is used up.
    """

    def __init__(self, retry: Retry, throttle: Throttle) -> None:
        self._retry, self._throttle = retry, throttle
        self._rate_limits = 0
        self._successes_before = throttle.successes

    def __call__(self, state: "RetryCallState") -> bool:
        """Return True to fail the day, or raise the error that ends the run."""
        error, retry = error_of(state), self._retry
        if isinstance(error, RateLimitError):
            self._rate_limits += 1
            enough = self._rate_limits >= 2 * retry.attempts
            if enough and self._throttle.successes == self._successes_before:
                raise QuotaError(
                    f"refused {self._rate_limits} times in a row for too many calls, and no "
                    "other day succeeded: the quota is used up; run the same command again later"
                )
        else:
            enough = state.attempt_number - self._rate_limits >= retry.attempts
        if enough and isinstance(error, TokenExpiredError):
            raise OAuthError(f"every renewed access token is refused: {error}")
        return enough or (state.seconds_since_start or 0.0) >= retry.give_up_after


def error_of(state: "RetryCallState") -> BaseException | None:
    """Return the error of the last attempt."""
    return state.outcome.exception() if state.outcome else None
