"""Compare what each subscriber received with the events in the database."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from stress.stats import format_counts, percentile
from stress.subscriptions.records import PostedReview, Records, SubscriberRecord


class ExpectedEvent(NamedTuple):
    """An event in the database."""

    position: int
    book: int
    review: int


class ExpectedState(NamedTuple):
    """The log and the reviews in the database at the end."""

    log: str
    events: Sequence[ExpectedEvent]
    """By position."""
    reviews: frozenset[int]
    """The ids of all reviews, with or without an event."""


@dataclass(frozen=True)
class SubscriberResult:
    """The errors of one subscriber; all sequences are empty if there are none."""

    record: SubscriberRecord
    missing: Sequence[int]
    repeated: Sequence[int]
    out_of_order: Sequence[tuple[int, int]]
    unexpected: Sequence[int]
    """Positions of another topic, or with other content than in the database."""

    @property
    def passed(self) -> bool:
        """Return whether it received each event of its topic once and in order."""
        errors = (self.missing, self.repeated, self.out_of_order, self.unexpected)
        return not any(errors) and (bool(self.record.events) or self.record.start is not None)


@dataclass(frozen=True)
class Result:
    """What the checker found."""

    records: Records
    faults: Sequence[str]
    subscribers: Sequence[SubscriberResult]
    without_event: Sequence[int]
    """Reviews, acknowledged or stored, without exactly one event; events without a review."""

    @property
    def failures(self) -> list[PostedReview]:
        """Return the posts with a response other than the review."""
        return [post for post in self.records.posted if post.status and post.review is None]

    @property
    def passed(self) -> bool:
        """Return whether each subscriber received all events, and each review is one event."""
        return all(one.passed for one in self.subscribers) and not self.without_event

    @property
    def delays(self) -> list[float]:
        """Return the seconds from acknowledgement, or from connecting if later, to each receipt."""
        acknowledged = self.records.acknowledged
        events = [event for one in self.records.subscribers for event in one.events]
        return [
            max(0.0, event.at - max(acknowledged[event.review], event.connected))
            for event in events
            if event.review in acknowledged
        ]

    def __str__(self) -> str:
        """Format the figures and the errors."""
        return "\n".join(_lines(self))


def check(records: Records, faults: Sequence[str], state: ExpectedState) -> Result:
    """Check every subscriber and every review."""
    subscribers = [_check_subscriber(record, state) for record in records.subscribers]
    events = Counter(event.review for event in state.events)
    written = state.reviews | records.acknowledged.keys()
    without_event = {review for review in written | events.keys() if events[review] != 1}
    without_event |= written - state.reviews
    return Result(records, faults, subscribers, sorted(without_event))


def _check_subscriber(record: SubscriberRecord, state: ExpectedState) -> SubscriberResult:
    positions = [event.position for event in record.events]
    first = min(positions, default=0)
    start = first - 1 if record.start is None else record.start
    topic = [event for event in state.events if record.book in {None, event.book}]
    expected = {event.position: event for event in topic if event.position > start}
    counts = Counter(positions)
    return SubscriberResult(
        record,
        missing=[position for position in expected if not counts[position]],
        repeated=[position for position, count in counts.items() if count > 1],
        out_of_order=[pair for pair in pairwise(positions) if pair[0] > pair[1]],
        unexpected=[
            event.position
            for event in record.events
            if event.log != state.log
            or expected.get(event.position)
            != ExpectedEvent(event.position, event.book, event.review)
        ],
    )


def _lines(result: Result) -> Iterator[str]:
    records, subscribers = result.records, result.records.subscribers
    apis = Counter(post.api for post in records.posted if post.review is not None)
    no_response = sum(post.status == 0 for post in records.posted)
    yield (
        f"reviews: {len(records.acknowledged)} acknowledged ({format_counts(apis)}), "
        f"{no_response} without a response, {len(result.failures)} rejected"
    )
    protocols = Counter(one.protocol for one in subscribers)
    all_books = sum(one.book is None for one in subscribers)
    yield (
        f"subscribers {len(subscribers)} ({format_counts(protocols)}): one book "
        f"{len(subscribers) - all_books}, all books {all_books}, from eventCursor "
        f"{sum(one.uses_cursor for one in subscribers)}"
    )
    closed = records.count_closed()
    yield (
        f"connections {sum(one.connections for one in subscribers)}: closed by subscribers "
        f"{sum(one.drops for one in subscribers)}, by the service {closed.total()} "
        f"({format_counts(closed)})"
    )
    yield f"faults {len(result.faults)}: {format_counts(Counter(result.faults))}"
    delays = [1_000 * delay for delay in result.delays]
    yield (
        f"events received {sum(len(one.events) for one in subscribers)}, delay p50 "
        f"{percentile(delays, 50):.1f} ms, p99 {percentile(delays, 99):.1f} ms, "
        f"maximum {max(delays, default=0.0):.1f} ms"
    )
    yield (
        f"events missing {sum(len(one.missing) for one in result.subscribers)}, "
        f"repeated {sum(len(one.repeated) for one in result.subscribers)}, "
        f"out of order {sum(len(one.out_of_order) for one in result.subscribers)}, "
        f"unexpected {sum(len(one.unexpected) for one in result.subscribers)}; "
        f"reviews without their event {len(result.without_event)}"
    )
    yield from (f"error: {_describe(one)}" for one in result.subscribers if not one.passed)
    yield "passed" if result.passed else "FAILED"


def _describe(result: SubscriberResult) -> str:
    record = result.record
    topic = "all books" if record.book is None else f"book {record.book}"
    return (
        f"{record.protocol} of {topic} from {record.start}, received {len(record.events)}: "
        f"missing {result.missing[:5]}, repeated {result.repeated[:5]}, "
        f"out of order {result.out_of_order[:5]}, unexpected {result.unexpected[:5]}, "
        f"errors {sorted(set(record.errors))}"
    )
