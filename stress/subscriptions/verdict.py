"""The verdict: what each subscriber has seen, against the positions that the database holds."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from bench.table import percentile
from stress.subscriptions.records import Account, Posted, Records


class Told(NamedTuple):
    """An event as the database holds it."""

    position: int
    book: int
    review: int


class Truth(NamedTuple):
    """What the database holds in the end."""

    log: str
    events: Sequence[Told]
    """By position."""
    reviews: frozenset[int]
    """The ids of all rows, by events or not."""


@dataclass(frozen=True)
class Finding:
    """What one subscriber got wrong; all empty where it was served well."""

    account: Account
    gaps: Sequence[int]
    repeats: Sequence[int]
    disorder: Sequence[tuple[int, int]]
    strange: Sequence[int]
    """Positions that are not of its topic, or not what the database holds there."""

    @property
    def well(self) -> bool:
        """Tell whether it saw all of its topic since its start, in order, each once."""
        wrong = (self.gaps, self.repeats, self.disorder, self.strange)
        return not any(wrong) and (bool(self.account.seen) or self.account.start is not None)


@dataclass(frozen=True)
class Verdict:
    """What the judge found."""

    records: Records
    faults: Sequence[str]
    findings: Sequence[Finding]
    untold: Sequence[int]
    """Reviews that were acknowledged, or are written, and are no event; or events of no review."""

    @property
    def failures(self) -> list[Posted]:
        """Return the posts that were answered by anything but the review."""
        return [post for post in self.records.posted if post.status and post.review is None]

    @property
    def passed(self) -> bool:
        """Tell whether all subscribers saw everything, in order, once."""
        return all(finding.well for finding in self.findings) and not self.untold

    @property
    def lates(self) -> list[float]:
        """Return for each event how long it took to one who waited for it, in seconds.

        From its acknowledgement, or from when the subscriber had connected if that was later.
        """
        when = self.records.acknowledged
        seen = [seen for account in self.records.accounts for seen in account.seen]
        return [
            max(0.0, one.at - max(when[one.review], one.connected))
            for one in seen
            if one.review in when
        ]

    def __str__(self) -> str:
        """Write the figures, and the first of what is wrong."""
        return "\n".join(_lines(self))


def judge(records: Records, faults: Sequence[str], truth: Truth) -> Verdict:
    """Judge every subscriber."""
    findings = [_judged(account, truth) for account in records.accounts]
    told = Counter(event.review for event in truth.events)
    written = truth.reviews | records.acknowledged.keys()
    untold = {review for review in written | told.keys() if told[review] != 1}
    return Verdict(records, faults, findings, sorted(untold | (written - truth.reviews)))


def _judged(account: Account, truth: Truth) -> Finding:
    positions = [seen.position for seen in account.seen]
    first = min(positions, default=0)
    start = first - 1 if account.start is None else account.start
    topic = [event for event in truth.events if account.book in {None, event.book}]
    due = {event.position: event for event in topic if event.position > start}
    times = Counter(positions)
    return Finding(
        account,
        gaps=[position for position in due if not times[position]],
        repeats=[position for position, count in times.items() if count > 1],
        disorder=[pair for pair in pairwise(positions) if pair[0] > pair[1]],
        strange=[
            seen.position
            for seen in account.seen
            if seen.log != truth.log
            or due.get(seen.position) != Told(seen.position, seen.book, seen.review)
        ],
    )


def _lines(verdict: Verdict) -> Iterator[str]:
    records, findings = verdict.records, verdict.findings
    unanswered = sum(post.status == 0 for post in records.posted)
    by = Counter(post.how for post in records.posted if post.review is not None)
    yield (
        f"reviews {len(records.acknowledged)} acknowledged ({_told(by)}), {unanswered} without "
        f"an answer, {len(verdict.failures)} refused"
    )
    accounts = records.accounts
    kinds = Counter(account.kind for account in accounts)
    whole = sum(account.book is None for account in accounts)
    asked = sum(account.asks for account in accounts)
    yield (
        f"subscribers {len(accounts)} ({_told(kinds)}; by book {len(accounts) - whole}, for all "
        f"books {whole}; {asked} began at eventCursor)"
    )
    ends: Counter[str] = sum((account.ends for account in accounts), Counter())
    yield f"connections {sum(account.connections for account in accounts)}"
    yield f"drops {sum(account.drops for account in accounts)}"
    yield f"ended by the service {ends.total()}: {_told(ends)}"
    yield f"faults {len(verdict.faults)}: {_told(Counter(verdict.faults))}"
    lates = [1_000 * late for late in verdict.lates]
    yield (
        f"events seen {sum(len(account.seen) for account in accounts)}, late p50 "
        f"{percentile(lates, 50):.1f} ms, p99 {percentile(lates, 99):.1f} ms, "
        f"most {max(lates, default=0.0):.1f} ms"
    )
    yield (
        f"gaps {sum(len(one.gaps) for one in findings)}, "
        f"repeats {sum(len(one.repeats) for one in findings)}, "
        f"out of order {sum(len(one.disorder) for one in findings)}, "
        f"strange {sum(len(one.strange) for one in findings)}, "
        f"reviews without their event {len(verdict.untold)}"
    )
    yield from (f"! {_wrong(one)}" for one in findings if not one.well)
    yield "passed" if verdict.passed else "FAILED"


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {times}" for kind, times in sorted(counts.items()))


def _wrong(finding: Finding) -> str:
    account = finding.account
    topic = "all books" if account.book is None else f"book {account.book}"
    return (
        f"{account.kind} of {topic} from {account.start}, seen {len(account.seen)}: "
        f"gaps {finding.gaps[:5]}, repeats {finding.repeats[:5]}, "
        f"out of order {finding.disorder[:5]}, strange {finding.strange[:5]}, "
        f"errors {sorted(set(account.errors))}"
    )
