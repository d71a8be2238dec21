"""The sliding window: how tokens are counted so that no window exceeds the quota.

A token is counted in the time slice in which it was taken but may be used a little later: until
its lease expires, or when a slow response from Redis arrives. The sum therefore covers the
window, plus that delay, plus the partial slice, so no window can exceed the quota wherever it
starts.
"""

from math import ceil
from typing import NamedTuple

from app.config import Rate
from app.redis.client import TIMEOUT_SECONDS

SLICES_PER_WINDOW = 60
MAX_LEASE_SECONDS = 1.0
MAX_FRACTION = 0.1
"""The largest part of the remaining quota that one lease takes; other processes need some too."""


class Grant(NamedTuple):
    """The tokens that a store granted, and the state of the client's quota."""

    tokens: int
    remaining: int
    slice: int
    resets_after: float
    """Seconds until the oldest counted tokens leave the window."""


class UnusedTokens(NamedTuple):
    """Tokens to return, and the slice in which they were counted."""

    slice: int
    tokens: int


class Window:
    """The dimensions of a window for one rate; all durations are in seconds."""

    def __init__(self, rate: Rate) -> None:
        self.quota = rate.amount
        self.seconds = rate.seconds
        self.slice_seconds = rate.seconds / SLICES_PER_WINDOW
        # Shorter than a slice: the margin is for a thread that pauses before it uses a token.
        self.lease_seconds = min(MAX_LEASE_SECONDS, 0.75 * self.slice_seconds)
        self.max_delay = max(self.lease_seconds, TIMEOUT_SECONDS)
        self.counted_slices = ceil((rate.seconds + self.max_delay) / self.slice_seconds) + 1
