"""The verdict on all that was noted."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from app.cache.lease import LEASE_SECONDS
from stress.consistency import expected as truths
from stress.consistency.expected import Truth
from stress.consistency.faults import PARTIAL
from stress.consistency.records import Moment, Read, Records, Thing, Write
from stress.faults import Fault
from stress.staleness import Acknowledged

EXPECTED = {200, 201, 304, 409, 412}
ABOUT_KILLS = 3.0
"""Seconds after the end of a worker in which its connections may break."""
ENDS_OF_WORKERS = frozenset({"worker killed", "all workers killed", "workers replaced (HUP)"})


@dataclass(frozen=True)
class Stale:
    """A read that missed a write, acknowledged ``seconds`` before it began."""

    read: Read
    seconds: float
    excused: bool
    """In a partial outage, and within the bound stated for it."""


@dataclass(frozen=True)
class Seen:
    """A read, with the moments of its products turned into versions."""

    began: float
    shown: Mapping[Thing, int]


@dataclass(frozen=True)
class Verdict:
    """What the judge found."""

    records: Records
    faults: Sequence[Fault]
    stale: Sequence[Stale]
    lost: Sequence[str]
    discord: Sequence[str]
    unplaced: int
    """Products in lists whose moment no other answer told the version of: not judged."""

    @property
    def failures(self) -> list[int]:
        """Return the statuses that no request should have had."""
        replies = [read.reply for read in self.records.reads]
        replies += [write.reply for write in self.records.writes if write.reply is not None]
        return [reply.status for reply in replies if reply.status not in EXPECTED]

    @property
    def unexplained(self) -> int:
        """Return how many connections broke while no worker ended."""
        ends = [fault for fault in self.faults if fault.kind in ENDS_OF_WORKERS]
        return sum(
            not any(end.began - 1.0 <= at <= end.ended + ABOUT_KILLS for end in ends)
            for at in self.records.broken
        )

    @property
    def torn(self) -> int:
        """Return how many answers did not agree with themselves."""
        return sum(read.torn for read in self.records.reads)

    @property
    def beyond(self) -> list[Stale]:
        """Return the stale reads for which there is no excuse."""
        return [stale for stale in self.stale if not stale.excused]

    @property
    def passed(self) -> bool:
        """Tell whether all promises were kept."""
        wrong = (self.beyond, self.lost, self.discord, self.failures)
        return not any(wrong) and not self.unexplained and not self.torn

    def __str__(self) -> str:
        """Write the figures, and the first of what is wrong."""
        return "\n".join(_lines(self))


def judge(records: Records, faults: Sequence[Fault], truth: Truth) -> Verdict:
    """Judge every read against every write."""
    acknowledged = _acknowledged(records.writes, truth)
    versions = _versions(records)
    unplaced, stale = 0, []
    for read in records.reads:
        placed = {m: versions[m] for m in read.moments if m in versions}
        unplaced += len(read.moments) - len(placed)
        shown = {("product", product): version for (product, _), version in placed.items()}
        since = acknowledged.missing(Seen(read.began, {**shown, **read.shown}))
        if since is not None:
            seconds = read.began - since
            excused = seconds <= LEASE_SECONDS and _in_partial_outage(since, read.began, faults)
            stale.append(Stale(read, seconds, excused))
    lost = list(truths.lost(truth, records.writes))
    discord = list(truths.discord(truth, records.writes))
    if truth.undelivered:
        discord.append(f"{truth.undelivered} invalidations are left in the outbox")
    return Verdict(records, faults, stale, lost, discord, unplaced)


def _acknowledged(writes: Sequence[Write], truth: Truth) -> Acknowledged:
    """Say what each acknowledged write had brought its things to."""
    moves = {row.reason: row.id for rows in truth.ledger.values() for row in rows}
    ranks = {
        row.id: rank
        for rows in truth.reviews.values()
        for rank, row in enumerate(rows, start=1)
    }  # fmt: skip
    known = [(write.reply.ended, write) for write in writes if write.reply and write.acknowledged]
    found = Acknowledged()
    for ended, write in sorted(known, key=lambda pair: pair[0]):
        for thing, value in _brought(write, moves, ranks):
            found.add(thing, ended, value)
    return found


def _brought(
    write: Write, moves: Mapping[str, int], ranks: Mapping[int, int]
) -> Iterator[tuple[Thing, int]]:
    if write.kind == "review" and write.reply is not None:
        review = orjson.loads(write.reply.body)["id"]
        yield ("reviews", write.thing), review
        yield ("book", write.thing), ranks.get(review, 0)
        return
    yield ("product", write.thing), truths.version_of(write)
    if write.token in moves:
        yield ("ledger", write.thing), moves[write.token]


def _versions(records: Records) -> dict[Moment, int]:
    """Learn from the answers that tell both which version a moment belongs to."""
    found = {
        moment: read.shown["product", moment[0]]
        for read in records.reads
        if read.kind == "product"
        for moment in read.moments
    }
    for write in records.writes:
        if write.acknowledged and write.reply is not None and write.kind != "review":
            moment = write.thing, orjson.loads(write.reply.body)["updated_at"]
            found[moment] = truths.version_of(write)
    return found


def _in_partial_outage(since: float, until: float, faults: Sequence[Fault]) -> bool:
    return any(
        fault.kind in PARTIAL and fault.began <= until and since <= fault.ended + LEASE_SECONDS
        for fault in faults
    )


def _lines(verdict: Verdict) -> Iterator[str]:
    records = verdict.records
    hits = sum(read.reply.cache == "hit" for read in records.reads)
    kinds = Counter(read.kind for read in records.reads)
    reads = len(records.reads)
    yield f"reads {reads} ({hits / max(1, reads):.0%} hits): {_told(kinds)}"
    done = sum(write.acknowledged for write in records.writes)
    unknown = sum(write.reply is None for write in records.writes)
    refused = len(records.writes) - done - unknown
    yield f"writes {done} acknowledged, {refused} refused, {unknown} unknown"
    yield f"faults {len(verdict.faults)}: {_told(Counter(fault.kind for fault in verdict.faults))}"
    yield f"connections broken {len(records.broken)}, unexplained {verdict.unexplained}"
    longest = max((stale.seconds for stale in verdict.stale), default=0.0)
    beyond = f"beyond the bound ({LEASE_SECONDS} s in partial outages, else 0)"
    stale = f"stale reads {len(verdict.stale)}, longest {longest:.3f} s"
    yield f"{stale}, {beyond} {len(verdict.beyond)}"
    yield f"lost writes {len(verdict.lost)}, discord {len(verdict.discord)}, torn {verdict.torn}"
    fives = sum(status >= 500 for status in verdict.failures)
    yield f"5xx {fives}, other failures {len(verdict.failures) - fives}"
    yield f"listed products not judged {verdict.unplaced}"
    yield from (f"! {what}" for what in _wrong(verdict))
    yield "passed" if verdict.passed else "FAILED"


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {times}" for kind, times in sorted(counts.items()))


def _wrong(verdict: Verdict) -> Iterator[str]:
    for stale in verdict.beyond[:10]:
        reply = stale.read.reply
        near = [f.kind for f in verdict.faults if f.began - 1 <= reply.began <= f.ended + 1]
        kind = stale.read.kind
        yield f"{kind} {reply.cache}: stale for {stale.seconds:.3f} s; faults near {near}"
    yield from (*verdict.lost[:10], *verdict.discord[:10])
    yield from (f"status {status}" for status in sorted(set(verdict.failures)))
