"""Compare all recorded responses with each other and with every change in the database."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf
from typing import NamedTuple

from app.cache.lease import LEASE_SECONDS
from stress.consistency.effects import Effects
from stress.consistency.faults import PARTIAL_OUTAGES, WORKERS_END
from stress.consistency.history import Change
from stress.consistency.invariants import violations
from stress.consistency.records import EXPECTED_STATUSES, Read, Records
from stress.consistency.timelines import Fact, Span, Timelines
from stress.faults import Fault
from stress.http_client import Response
from stress.stats import format_counts

AFTER_WORKERS_END = 60.0
"""Seconds after a fault of workers in which their connections may break: on a busy machine new ones
start slowly, and old ones serve until then."""
AFTER_FAULT = 1.0
"""Seconds after another fault in which a connection of that time may be noticed."""
IsOlder = Callable[[str, int], bool]


@dataclass(frozen=True)
class StaleRead:
    """A response that shows a row as it was ``seconds`` before its request was sent, or never."""

    kind: str
    response: Response
    fact: Fact
    seconds: float
    """Infinite if the row has never been so until the response ended."""
    allowed: bool
    """In a partial outage, and no later than the lease lasts."""
    states: Sequence[str]
    """The last states of the row until the response ended."""


class SelfCheck(NamedTuple):
    """How many hits the service has compared with its database, and how many differed."""

    checked: int
    stale: int


class Tolerated(NamedTuple):
    """The faults in which a response may be late, or missing."""

    late: frozenset[str] = PARTIAL_OUTAGES
    broken: frozenset[str] = WORKERS_END
    """Connections may break; a proxy may respond 502 or 504."""
    unavailable: frozenset[str] = frozenset()
    """The database is away: 503."""

    def allows(self, response: Response, faults: Sequence[Fault]) -> bool:
        """Return whether a fault explains a response that failed."""
        names = {502: self.broken, 503: self.unavailable, 504: self.broken}.get(response.status)
        return names is not None and any(
            fault.name in names
            and fault.began <= response.ended
            and response.began <= fault.ended + AFTER_FAULT
            for fault in faults
        )


PROCESS_FAULTS = Tolerated()


@dataclass(frozen=True)
class Result:
    """What the checker found."""

    records: Records
    faults: Sequence[Fault]
    stale: Sequence[StaleRead]
    lost: Sequence[str]
    inconsistent: Sequence[str]
    self_check: SelfCheck | None = None
    tolerated: Tolerated = PROCESS_FAULTS

    @property
    def failures(self) -> list[int]:
        """Return the statuses that no response should have."""
        responses = [read.response for read in self.records.reads]
        responses += [one.response for one in self.records.writes if one.response is not None]
        return [
            one.status
            for one in responses
            if one.status not in EXPECTED_STATUSES and not self.tolerated.allows(one, self.faults)
        ]

    @property
    def unexplained_breaks(self) -> int:
        """Return how many connections broke while no worker ended."""
        ends = [fault for fault in self.faults if fault.name in self.tolerated.broken]
        return sum(
            not any(end.began - 1.0 <= broke <= end.ended + AFTER_WORKERS_END for end in ends)
            for broke in self.records.broken
        )

    @property
    def inconsistent_reads(self) -> int:
        """Return how many responses contradict themselves."""
        return sum(not read.consistent for read in self.records.reads)

    @property
    def forbidden(self) -> list[StaleRead]:
        """Return the stale reads that are not allowed."""
        return [stale for stale in self.stale if not stale.allowed]

    @property
    def passed(self) -> bool:
        """Return whether nothing is wrong."""
        errors = (self.forbidden, self.lost, self.inconsistent, self.failures)
        if self.self_check is not None and self.self_check.stale:
            return False
        return not any(errors) and not self.unexplained_breaks and not self.inconsistent_reads

    def __str__(self) -> str:
        """Format the figures and the first errors."""
        return "\n".join(_lines(self))


def check(
    records: Records,
    faults: Sequence[Fault],
    changes: Sequence[Change],
    *,
    is_older: IsOlder = lambda *_: False,
    undelivered: int = 0,
    tolerated: Tolerated = PROCESS_FAULTS,
    self_check: SelfCheck | None = None,
) -> Result:
    """Check every response against all changes, and the changes against the writes.

    Rows that are older than the changes are not checked. ``undelivered`` is the number of
    invalidations in the outbox.
    """
    effects = Effects(changes, records.writes)
    timelines = Timelines(changes, effects.acknowledged)
    stale = list(stale_reads(records, faults, timelines, is_older, tolerated.late))
    inconsistent = [*effects.inconsistent, *violations(changes)]
    if undelivered:
        inconsistent.append(f"{undelivered} invalidations are left in the outbox")
    return Result(records, faults, stale, effects.lost, inconsistent, self_check, tolerated)


def stale_reads(
    records: Records,
    faults: Sequence[Fault],
    timelines: Timelines,
    is_older: IsOlder,
    late_faults: frozenset[str] = PARTIAL_OUTAGES,
) -> Iterator[StaleRead]:
    """Yield for each response that is wrong the fact that was so the longest time ago."""
    reads = ((one.kind, one.response, inf, _facts(one, timelines)) for one in records.reads)
    writes = (
        (one.kind, one.response, one.response.began, one.facts)
        for one in records.writes
        if one.response
    )
    for kind, response, decided, facts in chain(reads, writes):
        known = (fact for fact in facts if not is_older(fact.table, fact.row))
        late = max(
            ((_seconds_late(fact, response, decided, timelines), fact) for fact in known),
            key=lambda pair: pair[0],
            default=None,
        )
        if late is not None and late[0] > 0:
            seconds, since = late[0], response.began - late[0]
            outages = [fault for fault in faults if fault.name in late_faults]
            in_outage = _in_partial_outage(since, response.began, outages)
            allowed = seconds <= LEASE_SECONDS and in_outage
            timeline = timelines.of.get(late[1][:2])
            states = timeline.latest(response.began, response.ended) if timeline else ()
            yield StaleRead(kind, response, late[1], seconds, allowed, states)


def _facts(read: Read, timelines: Timelines) -> Iterator[Fact]:
    yield from read.facts
    if read.listing is not None:
        yield from read.listing.absences(timelines, read.began)


def _seconds_late(fact: Fact, response: Response, decided: float, timelines: Timelines) -> float:
    timeline = timelines.of.get((fact.table, fact.row))
    if timeline is None:
        return 0.0 if fact.condition({}, Span(-inf, inf, inf)) else inf
    return timeline.seconds_late(fact.condition, response.began, response.ended, decided)


def _in_partial_outage(since: float, until: float, outages: Sequence[Fault]) -> bool:
    return any(fault.began <= until and since <= fault.ended + LEASE_SECONDS for fault in outages)


def _lines(result: Result) -> Iterator[str]:
    records = result.records
    hits = sum(read.response.is_hit for read in records.reads)
    memory = sum(read.response.is_memory_hit for read in records.reads)
    kinds = Counter(read.kind for read in records.reads)
    reads = len(records.reads)
    parts = f"{hits / max(1, reads):.0%} hits, {memory / max(1, reads):.0%} from memory"
    yield f"reads {reads} ({parts}): {format_counts(kinds)}"
    done = Counter(write.kind for write in records.writes if write.acknowledged)
    unknown = sum(write.response is None for write in records.writes)
    rejected = len(records.writes) - done.total() - unknown
    counts = f"{done.total()} acknowledged, {rejected} rejected, {unknown} unknown"
    yield f"writes: {counts}: {format_counts(done)}"
    faults = Counter(fault.name for fault in result.faults)
    yield f"faults {len(result.faults)}: {format_counts(faults)}"
    breaks = f"{len(records.broken)}, {result.unexplained_breaks} while no worker ended"
    yield f"broken connections: {breaks}"
    longest = max((stale.seconds for stale in result.stale), default=0.0)
    yield (
        f"stale reads: {len(result.stale)}, longest {longest:.3f} s, later than allowed "
        f"({LEASE_SECONDS} s in partial outages, else 0 s) {len(result.forbidden)}"
    )
    rows, reads = len(result.inconsistent), result.inconsistent_reads
    yield f"lost writes {len(result.lost)}; inconsistencies: {rows} in rows, {reads} in responses"
    errors = sum(status >= 500 for status in result.failures)
    yield f"5xx responses {errors}, other unexpected responses {len(result.failures) - errors}"
    if result.self_check is not None:
        checked, different = result.self_check
        yield f"self-check: {checked} hits compared with the database, {different} different"
    yield from (f"error: {error}" for error in _errors(result))
    yield "passed" if result.passed else "FAILED"


def _errors(result: Result) -> Iterator[str]:
    for stale in result.forbidden[:10]:
        response = stale.response
        names = [f.name for f in result.faults if f.began - 1 <= response.began <= f.ended + 1]
        what = f"{stale.kind} ({response.status} {response.cache}), {stale.fact[:2]},"
        shown = f"{response.etag} {response.body[:300]!r}"
        late = f"stale by {stale.seconds:.3f} s" if stale.seconds < inf else "as it never was"
        yield f"{what} {late}; faults at this time: {names}"
        yield f"it ended {response.ended - response.began:.3f} s after its request: {shown}"
        yield from (f"state {state}" for state in stale.states)
    yield from (*result.lost[:10], *result.inconsistent[:10])
    yield from (f"status {status}" for status in sorted(set(result.failures)))
