"""How long clients were without the service in each fault, from what they recorded."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from stress.consistency.records import EXPECTED_STATUSES, Records
from stress.faults import Fault
from stress.http_client import Response
from stress.stats import format_counts

AFTER_SECONDS = 5.0
"""The time after a fault that belongs to it, unless the next one begins before."""
HEADS = ("times", "longest", "no read", "no write", "slowest", "last failure")
"""How often, and the longest seconds: of the fault, without a read and without a write that
succeeded, of one response, and from the beginning of a fault until the last request failed."""


class Period(NamedTuple):
    """A fault, and the time in which its effects are counted."""

    fault: Fault
    until: float

    def contains(self, at: float) -> bool:
        """Return whether a time is in it."""
        return self.fault.began <= at < self.until


def recoveries(records: Records, faults: Sequence[Fault]) -> Iterator[str]:
    """Yield a table with a line for each kind of fault; ``faults`` are in their order."""
    end = max(read.response.ended for read in records.reads)
    nexts = [*(fault.began for fault in faults[1:]), end]
    periods = [
        Period(fault, min(fault.ended + AFTER_SECONDS, following))
        for fault, following in zip(faults, nexts, strict=True)
    ]
    yield f"{'seconds':36}{''.join(f'{head:>14}' for head in HEADS)}  failed"
    for name in sorted({fault.name for fault in faults}):
        yield _line(name, records, [one for one in periods if one.fault.name == name])


def _line(name: str, records: Records, periods: Sequence[Period]) -> str:
    reads = [read.response for read in records.reads]
    writes = [write.response for write in records.writes if write.response]
    responses = [*reads, *writes]
    failed = [(one.ended, str(one.status)) for one in responses if not _is_success(one)]
    failed += [(at, "broken") for at in records.broken]
    late = [
        (at - one.fault.began, how) for one in periods for at, how in failed if one.contains(at)
    ]
    slow = [one.ended - one.began for one in responses for at in periods if at.contains(one.ended)]
    figures = (
        max(one.fault.ended - one.fault.began for one in periods),
        max(longest_wait(reads, one) for one in periods),
        max(longest_wait(writes, one) for one in periods),
        max(slow, default=0.0),
        max((seconds for seconds, _ in late), default=0.0),
    )
    counts = format_counts(Counter(how for _, how in late))
    return f"{name:36}{len(periods):>14}{''.join(f'{each:>14.2f}' for each in figures)}  {counts}"


def longest_wait(responses: Sequence[Response], period: Period) -> float:
    """Return the longest time in a period without a response that succeeded."""
    ends = [each.ended for each in responses if _is_success(each)]
    inside = sorted(filter(period.contains, ends))
    return max(two - one for one, two in pairwise([period.fault.began, *inside, period.until]))


def _is_success(response: Response) -> bool:
    return response.status in EXPECTED_STATUSES
