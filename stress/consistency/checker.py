"""Compare all recorded responses with each other and with the database."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.cache.lease import LEASE_SECONDS
from stress.consistency.expected import ExpectedState, inconsistencies, lost_writes, version_of
from stress.consistency.faults import PARTIAL_OUTAGES, WORKERS_END
from stress.consistency.records import Read, Records, Resource, Timestamp, Write
from stress.faults import Fault
from stress.staleness import AcknowledgedWrites
from stress.stats import format_counts

EXPECTED_STATUSES = {200, 201, 304, 409, 412}
AFTER_WORKERS_END = 10.0
"""Seconds after a fault of workers in which their connections may break."""


@dataclass(frozen=True)
class StaleRead:
    """A read that missed a write, acknowledged ``seconds`` before the read began."""

    read: Read
    seconds: float
    allowed: bool
    """In a partial outage, and no later than the lease lasts."""


@dataclass(frozen=True)
class Result:
    """What the checker found."""

    records: Records
    faults: Sequence[Fault]
    stale: Sequence[StaleRead]
    lost: Sequence[str]
    inconsistent: Sequence[str]
    unchecked: int
    """Products in lists with a timestamp whose version no other response shows."""

    @property
    def failures(self) -> list[int]:
        """Return the statuses that no response should have."""
        responses = [read.response for read in self.records.reads]
        responses += [one.response for one in self.records.writes if one.response is not None]
        return [one.status for one in responses if one.status not in EXPECTED_STATUSES]

    @property
    def unexplained_breaks(self) -> int:
        """Return how many connections broke while no worker ended."""
        ends = [fault for fault in self.faults if fault.name in WORKERS_END]
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
        return not any(errors) and not self.unexplained_breaks and not self.inconsistent_reads

    def __str__(self) -> str:
        """Format the figures and the first errors."""
        return "\n".join(_lines(self))


def check(records: Records, faults: Sequence[Fault], state: ExpectedState) -> Result:
    """Check every read against every write, and the writes against the database."""
    acknowledged = _acknowledged(records.writes, state)
    versions = _versions(records)
    unchecked, stale = 0, []
    for read in records.reads:
        known = {one: versions[one] for one in read.timestamps if one in versions}
        unchecked += len(read.timestamps) - len(known)
        shown = {("product", product): version for (product, _), version in known.items()}
        since = acknowledged.first_missing(read.began, {**shown, **read.shown})
        if since is not None:
            seconds = read.began - since
            allowed = seconds <= LEASE_SECONDS and _in_partial_outage(since, read.began, faults)
            stale.append(StaleRead(read, seconds, allowed))
    lost = list(lost_writes(state, records.writes))
    inconsistent = list(inconsistencies(state, records.writes))
    return Result(records, faults, stale, lost, inconsistent, unchecked)


def _acknowledged(writes: Sequence[Write], state: ExpectedState) -> AcknowledgedWrites:
    """Return the value that each acknowledged write gave to its resources."""
    adjustments = {row.reason: row.id for rows in state.ledgers.values() for row in rows}
    ranks = {
        row.id: rank
        for rows in state.reviews.values()
        for rank, row in enumerate(rows, start=1)
    }  # fmt: skip
    done = [(one.response.ended, one) for one in writes if one.response and one.acknowledged]
    acknowledged = AcknowledgedWrites()
    for ended, write in sorted(done, key=lambda pair: pair[0]):
        for resource, value in _written_values(write, adjustments, ranks):
            acknowledged.add(resource, ended, value)
    return acknowledged


def _written_values(
    write: Write, adjustments: Mapping[str, int], ranks: Mapping[int, int]
) -> Iterator[tuple[Resource, int]]:
    if write.kind == "review" and write.response is not None:
        review = orjson.loads(write.response.body)["id"]
        yield ("reviews", write.id), review
        yield ("book", write.id), ranks.get(review, 0)
        return
    yield ("product", write.id), version_of(write)
    if write.token in adjustments:
        yield ("ledger", write.id), adjustments[write.token]


def _versions(records: Records) -> dict[Timestamp, int]:
    """Return the versions of timestamps, from the responses that show both."""
    versions = {
        timestamp: read.shown["product", timestamp[0]]
        for read in records.reads
        if read.kind == "product"
        for timestamp in read.timestamps
    }
    for write in records.writes:
        if write.acknowledged and write.response is not None and write.kind != "review":
            timestamp = write.id, orjson.loads(write.response.body)["updated_at"]
            versions[timestamp] = version_of(write)
    return versions


def _in_partial_outage(since: float, until: float, faults: Sequence[Fault]) -> bool:
    return any(
        fault.name in PARTIAL_OUTAGES
        and fault.began <= until
        and since <= fault.ended + LEASE_SECONDS
        for fault in faults
    )


def _lines(result: Result) -> Iterator[str]:
    records = result.records
    hits = sum(read.response.is_hit for read in records.reads)
    memory = sum(read.response.is_memory_hit for read in records.reads)
    kinds = Counter(read.kind for read in records.reads)
    reads = len(records.reads)
    parts = f"{hits / max(1, reads):.0%} hits, {memory / max(1, reads):.0%} from memory"
    yield f"reads {reads} ({parts}): {format_counts(kinds)}"
    done = sum(write.acknowledged for write in records.writes)
    unknown = sum(write.response is None for write in records.writes)
    rejected = len(records.writes) - done - unknown
    yield f"writes: {done} acknowledged, {rejected} rejected, {unknown} unknown"
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
    yield f"products in lists that could not be checked: {result.unchecked}"
    yield from (f"error: {error}" for error in _errors(result))
    yield "passed" if result.passed else "FAILED"


def _errors(result: Result) -> Iterator[str]:
    for stale in result.forbidden[:10]:
        response = stale.read.response
        names = [f.name for f in result.faults if f.began - 1 <= response.began <= f.ended + 1]
        what = f"{stale.read.kind} ({response.cache})"
        yield f"{what} is stale by {stale.seconds:.3f} s; faults at this time: {names}"
    yield from (*result.lost[:10], *result.inconsistent[:10])
    yield from (f"status {status}" for status in sorted(set(result.failures)))
