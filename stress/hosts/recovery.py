"""How long clients were without the service in each fault, from what they recorded."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from stress.consistency.records import EXPECTED_STATUSES, Records
from stress.faults import Fault
from stress.stats import format_counts

AFTER_SECONDS = 5.0
"""The time after a fault that belongs to it."""


def recoveries(records: Records, faults: Sequence[Fault]) -> Iterator[str]:
    """Yield a line for each kind of fault: the longest waits, and what failed until when."""
    reads = [read.response for read in records.reads]
    writes = [write.response for write in records.writes if write.response]
    succeeded = [
        [each.ended for each in responses if each.status in EXPECTED_STATUSES]
        for responses in (reads, writes)
    ]
    failed = [(at, "broken") for at in records.broken] + [
        (each.ended, str(each.status))
        for each in (*reads, *writes)
        if each.status not in EXPECTED_STATUSES
    ]
    of_kind: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        of_kind[fault.name].append(fault)
    for name, found in sorted(of_kind.items()):
        lasted = max(fault.ended - fault.began for fault in found)
        waits = [max(longest_wait(ends, fault) for fault in found) for ends in succeeded]
        late = [(at - fault.began, how) for fault in found for at, how in failed if _in(at, fault)]
        yield (
            f"{name}: {len(found)} times, at most {lasted:.1f} s. Longest time without a read "
            f"{waits[0]:.2f} s, without a write {waits[1]:.2f} s. Failed requests {len(late)}"
            + (f" ({format_counts(Counter(how for _, how in late))}), " if late else "")
            + (f"the last {max(late)[0]:.2f} s after the beginning" if late else "")
        )


def longest_wait(ends: Sequence[float], fault: Fault) -> float:
    """Return the longest time without one of ``ends``, in a fault and shortly after it."""
    until = min(fault.ended + AFTER_SECONDS, max(ends, default=fault.ended))
    return max(
        two - one
        for one, two in pairwise(
            [fault.began, *sorted(at for at in ends if fault.began < at < until), until]
        )
    )


def _in(at: float, fault: Fault) -> bool:
    return fault.began <= at <= fault.ended + AFTER_SECONDS
