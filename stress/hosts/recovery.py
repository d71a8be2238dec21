"""How long clients were without the service in each fault, from what they recorded."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from stress.consistency.records import EXPECTED_STATUSES, Records
from stress.faults import Fault

AFTER_SECONDS = 10.0
"""The time after a fault that belongs to it."""


def recoveries(records: Records, faults: Sequence[Fault]) -> Iterator[str]:
    """Yield a line for each kind of fault: the longest times without a read and a write."""
    responses = [read.response for read in records.reads]
    reads = sorted(one.ended for one in responses if one.status in EXPECTED_STATUSES)
    writes = sorted(
        one.response.ended for one in records.writes if one.response and one.acknowledged
    )
    times: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for fault in faults:
        until = fault.ended + AFTER_SECONDS
        without = [longest_gap(ends, fault.began, until) for ends in (reads, writes)]
        times[fault.name].append((fault.ended - fault.began, *without))
    for name, found in sorted(times.items()):
        lasted, *gaps = (max(column) for column in zip(*found, strict=True))
        yield (
            f"{name}: {len(found)} times, at most {lasted:.1f} s; longest time without a read "
            f"{gaps[0]:.2f} s, without an acknowledged write {gaps[1]:.2f} s"
        )


def longest_gap(times: Sequence[float], began: float, until: float) -> float:
    """Return the longest time between two of ``times``, and the ends of the period."""
    inside = [time for time in times if began <= time <= until]
    return max((two - one for one, two in pairwise([began, *inside])), default=until - began)
