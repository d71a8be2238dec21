"""What each error asks for: another try, a pause for all, or the end of the day or the run."""

from __future__ import annotations

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
from adsfetch.fetch.metrics import Meter
from adsfetch.fetch.throttle import Gate, Pass, Stopped

if TYPE_CHECKING:
    from tenacity import RetryCallState, Retrying

# Mistakes of a program do not go away by waiting; anything else a source raises might.
HOPELESS = (
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
    """How long to insist; times are in seconds, waits grow twofold and are drawn by lot."""

    attempts: int = 5
    wait_initial: float = 1.0
    wait_max: float = 60.0
    give_up_after: float = 1800.0
    longest_pause: float = 900.0

    def loop(self, gate: Gate, meter: Meter) -> Retrying:
        """Return tenacity's loop for one day."""
        import tenacity  # noqa: PLC0415 - a run with nothing to do need not load it

        jitter = tenacity.wait_random_exponential(self.wait_initial, self.wait_max)
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_worth_a_retry),
            stop=Patience(self, gate),
            wait=lambda state: 0.0 if at_once(error_of(state)) else jitter(state),
            sleep=gate.sleep,
            before_sleep=lambda state: meter.retry(cause_of(error_of(state))),
            reraise=True,
        )

    def pause(self, gate: Gate, error: RateLimitError, ticket: Pass) -> None:
        """Hold all workers as long as the server asks; end the run if that is too long.

        Where it does not say, the pause doubles until something gets through.
        """
        unasked = min(self.wait_initial * 2 ** min(gate.refusals, 30), self.wait_max)
        seconds = unasked if error.retry_after is None else error.retry_after
        if seconds > self.longest_pause:
            raise QuotaError(used_up(seconds)) from error
        gate.pause(max(seconds, 0.0), ticket)


class Patience:
    """Decide for one day when enough was tried.

    Rate limits have twice the attempts, for they say nothing against the day. A day that is
    refused so often while nothing else gets through either is the sign of a spent quota.
    """

    def __init__(self, retry: Retry, gate: Gate) -> None:
        self._retry, self._gate = retry, gate
        self._limited = 0
        self._others_then = gate.successes

    def __call__(self, state: RetryCallState) -> bool:
        """Tell tenacity to stop, or raise what the run must end with."""
        error, retry = error_of(state), self._retry
        if isinstance(error, RateLimitError):
            self._limited += 1
            enough = self._limited >= 2 * retry.attempts and self._spent()
        else:
            enough = state.attempt_number - self._limited >= retry.attempts
        if enough and isinstance(error, TokenExpiredError):
            raise OAuthError(f"token after token is refused, though each is new: {error}")
        return enough or (state.seconds_since_start or 0.0) >= retry.give_up_after

    def _spent(self) -> bool:
        if self._gate.successes == self._others_then:
            raise QuotaError(
                f"refused {self._limited} times in a row for too many calls, and no other "
                "day got through: the quota is used up; run the same command again later"
            )
        return True


def error_of(state: RetryCallState) -> BaseException | None:
    """Return what the last try raised."""
    return state.outcome.exception() if state.outcome else None


def is_worth_a_retry(error: BaseException) -> bool:
    """Tell whether another try may end better."""
    return isinstance(error, Exception) and not isinstance(error, HOPELESS)


def at_once(error: BaseException | None) -> bool:
    """Tell whether the wait is done elsewhere (the gate) or there is nothing to wait for."""
    return isinstance(error, RateLimitError | TokenExpiredError)


def cause_of(error: BaseException | None) -> str:
    """Name an error for the metrics."""
    return str(getattr(error, "cause", type(error).__name__))


def used_up(seconds: float) -> str:
    """Say that the quota is gone and when it comes back."""
    return (
        f"the quota is used up for another {seconds / 3600:.1f} hours; what was fetched is kept, "
        "run the same command again after that"
    )
