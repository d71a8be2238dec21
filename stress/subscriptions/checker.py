"""Compare what each follower received with the log, and the log with the database."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from stress.stats import format_counts
from stress.subscriptions.records import WEBHOOK, FollowerRecord, Shown, position_of

SHOWN_ERRORS = 5


@dataclass(frozen=True)
class FollowerResult:
    """The errors of one follower; all sequences are empty if there are none."""

    record: FollowerRecord
    missing: Sequence[int]
    repeated: Sequence[int]
    out_of_order: Sequence[tuple[int, int]]
    unexpected: Sequence[int]
    """Positions of other types or books, or with other content than in the log."""

    @property
    def passed(self) -> bool:
        """Return whether it received each event that it asks for once and in order."""
        errors = (self.missing, self.repeated, self.out_of_order, self.unexpected)
        return not any(errors) and self.record.has_begun and not self.record.errors


@dataclass(frozen=True)
class Result:
    """What the checker found."""

    records: Sequence[FollowerRecord]
    log: Sequence[Shown]
    followers: Sequence[FollowerResult]
    log_errors: Sequence[str]
    """What is wrong with the log itself: with its positions, or compared with the database."""
    faults: Sequence[str] = ()
    writes: Counter[str] = field(default_factory=Counter)
    """How many writes were acknowledged, by kind, and how many loads ended, by how."""

    @property
    def passed(self) -> bool:
        """Return whether each follower received the log, and the log tells each change once."""
        return bool(self.log) and not self.log_errors and all(one.passed for one in self.followers)

    def __str__(self) -> str:
        """Format the figures and the errors."""
        return "\n".join(_lines(self))


def check(records: Sequence[FollowerRecord], log: Sequence[Shown], **found: Any) -> Result:
    """Check every follower, and the positions of the log; ``found`` is the rest of the result."""
    positions = [*map(position_of, log)]
    gaps = [f"{one} is followed by {two}" for one, two in pairwise(positions) if two != one + 1]
    log_errors = [*gaps, *found.pop("log_errors", ())]
    followers = [_check_follower(record, log) for record in records]
    return Result(records, log, followers, log_errors, **found)


def _check_follower(record: FollowerRecord, log: Sequence[Shown]) -> FollowerResult:
    received = [(position_of(event), event) for event in record.events]
    if record.transport == WEBHOOK:
        received = [*dict(received).items()]
    positions = [position for position, _ in received]
    start = min(positions, default=0) - 1
    if record.start is not None:
        start = position_of({"cursor": record.start})
    wanted = {position_of(event): event for event in log if record.selects(event)}
    counts = Counter(positions)
    return FollowerResult(
        record,
        missing=[at for at in wanted if at > start and not counts[at]],
        repeated=[at for at, count in counts.items() if count > 1],
        out_of_order=[pair for pair in pairwise(positions) if pair[0] > pair[1]],
        unexpected=[
            position
            for position, event in received
            if position <= start or not _is_shown(event, wanted.get(position))
        ],
    )


def _is_shown(shown: Shown, event: Shown | None) -> bool:
    """Return whether ``shown`` is an event of the log; ``reviewAdded`` shows a part of it."""
    if event is None or "type" in shown:
        return shown == event
    part = {name: event["data"][name] for name in shown["data"]}
    return shown == {"cursor": event["cursor"], "data": part}


def _lines(result: Result) -> Iterator[str]:
    records, followers = result.records, result.followers
    yield f"writes: {format_counts(result.writes)}"
    yield f"log: {len(result.log)} events ({format_counts(Counter(e['type'] for e in result.log))})"
    yield f"followers: {format_counts(Counter(one.transport for one in records))}"
    closed = Counter(how for one in records for _, how in one.closed)
    yield (
        f"connections {sum(one.connections for one in records)}: closed by followers "
        f"{sum(one.drops for one in records)}, by the service {closed.total()} "
        f"({format_counts(closed)})"
    )
    yield f"faults {len(result.faults)}: {format_counts(Counter(result.faults))}"
    yield (
        f"events received {sum(len(one.events) for one in records)}, missing "
        f"{sum(len(one.missing) for one in followers)}, repeated "
        f"{sum(len(one.repeated) for one in followers)}, out of order "
        f"{sum(len(one.out_of_order) for one in followers)}, unexpected "
        f"{sum(len(one.unexpected) for one in followers)}; errors of the log "
        f"{len(result.log_errors)}"
    )
    yield from (f"error of the log: {error}" for error in result.log_errors[:SHOWN_ERRORS])
    yield from (f"error: {_describe(one)}" for one in followers if not one.passed)
    yield "passed" if result.passed else "FAILED"


def _describe(result: FollowerResult) -> str:
    return (
        f"{result.record}, received {len(result.record.events)}: "
        f"missing {result.missing[:SHOWN_ERRORS]}, repeated {result.repeated[:SHOWN_ERRORS]}, "
        f"out of order {result.out_of_order[:SHOWN_ERRORS]}, "
        f"unexpected {result.unexpected[:SHOWN_ERRORS]}, errors {sorted(set(result.record.errors))}"
    )
