"""How requests are counted so that no window, wherever it begins, holds more than the quota.

Tokens are counted in the slice of time in which they are taken, and a token may be spent a little
later: until its lease ends, or its answer from Redis is late. So the slices that count reach back
by a window and that lag, and by the slice that is only partly over. All spending of any window
then lies in slices that were counted together when the last of its tokens was taken.
"""

from math import ceil
from typing import NamedTuple, Protocol

from app.config import Rate
from app.redis.client import TIMEOUT_SECONDS

SLICES = 60
LEASE_MOST_SECONDS = 1.0
SHARE = 10
"""A lease is at most this part of what is left, so that other processes get theirs."""


class Grant(NamedTuple):
    """What a store gave: tokens of one slice, and what it knows of the rest."""

    size: int
    rest: int
    slice: int
    wait: float
    """Seconds until the oldest tokens that count do so no more."""


class Unspent(NamedTuple):
    """Tokens that are given back, and the slice that they were counted in."""

    slice: int
    size: int


class Window:
    """How a rate is counted."""

    def __init__(self, rate: Rate) -> None:
        self.quota = rate.amount
        self.seconds = rate.seconds
        self.slice = rate.seconds / SLICES
        # A little shorter than a slice: that is the margin for a thread that was held up.
        self.lease = min(LEASE_MOST_SECONDS, 0.75 * self.slice)
        self.lag = max(self.lease, TIMEOUT_SECONDS)
        self.counted = ceil((rate.seconds + self.lag) / self.slice) + 1


class Store(Protocol):
    """Where the tokens of clients are counted."""

    def take(self, client: str, ask: int, back: Unspent | None) -> Grant:
        """Count up to ``ask`` tokens for ``client``, after ``back`` is counted off."""
        ...
