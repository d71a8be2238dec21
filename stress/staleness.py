"""Which acknowledged writes a response does not show.

A response is stale if it shows less than was acknowledged before its request was sent. All times
are from one clock in one process.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from math import inf
from typing import Any


class AcknowledgedWrites:
    """The values of resources after acknowledged writes. All these values only grow."""

    def __init__(self) -> None:
        self._times: dict[Any, list[float]] = defaultdict(list)
        self._greatest: dict[Any, list[int]] = defaultdict(list)

    def add(self, resource: Any, ended: float, value: int) -> None:
        """Record that ``resource`` reached ``value``; call this in the order of ``ended``."""
        greatest = self._greatest[resource]
        self._times[resource].append(ended)
        greatest.append(max(value, greatest[-1] if greatest else value))

    def first_missing(self, began: float, shown: Mapping[Any, int]) -> float | None:
        """Return the time of the first acknowledgement whose write a response lacks, if any.

        The response showed the values ``shown``; its request was sent at ``began``.
        """
        firsts = [self._first_above(name, value) for name, value in shown.items()]
        return min((first for first in firsts if first < began), default=None)

    def _first_above(self, resource: Any, value: int) -> float:
        index = bisect_right(self._greatest[resource], value)
        times = self._times[resource]
        return times[index] if index < len(times) else inf
