"""The checker, with records made by hand."""

import pytest

from stress.subscriptions.checker import ExpectedEvent, ExpectedState, check
from stress.subscriptions.records import PostedReview, ReceivedEvent, Records, SubscriberRecord

EVENTS = [ExpectedEvent(1, 7, 11), ExpectedEvent(2, 8, 12), ExpectedEvent(3, 7, 13)]
STATE = ExpectedState("log", EVENTS, frozenset({11, 12, 13}))


def received(*positions, log="log", book=None):
    events = {event.position: event for event in EVENTS}
    return [
        ReceivedEvent(log, at, events[at].review, book or events[at].book, 5.0, 0.0)
        for at in positions
    ]


def check_events(events, *, book=None, start=0, posted=(), state=STATE):
    uses_cursor = start is not None
    record = SubscriberRecord("ws", book, uses_cursor=uses_cursor, start=start, events=events)
    return check(Records([record], list(posted)), [], state)


@pytest.mark.parametrize(
    ("events", "book", "start"),
    [
        (received(1, 2, 3), None, 0),
        (received(1, 3), 7, 0),
        (received(3), None, 2),
        (received(2, 3), None, None),
    ],
)
def test_a_subscriber_passes_that_received_all_events_since_its_start(events, book, start):
    assert check_events(events, book=book, start=start).passed


@pytest.mark.parametrize(
    ("events", "book", "errors"),
    [
        (received(1, 3), None, {"missing": [2]}),
        (received(1), 7, {"missing": [3]}),
        (received(1, 2), None, {"missing": [3]}),
        (received(1, 2, 2, 3), None, {"repeated": [2]}),
        (received(1, 3, 2), None, {"out_of_order": [(3, 2)]}),
        (received(1, 2, 3), 7, {"unexpected": [2]}),
        (received(1, 2, 3, book=7), None, {"unexpected": [2]}),
        (received(1, 2, 3, log="other"), None, {"unexpected": [1, 2, 3]}),
    ],
)
def test_each_error_of_a_subscriber_is_found(events, book, errors):
    result = check_events(events, book=book)
    assert not result.passed
    [subscriber] = result.subscribers
    for name in ("missing", "repeated", "out_of_order", "unexpected"):
        assert getattr(subscriber, name) == errors.get(name, []), name


def test_a_subscriber_that_received_nothing_fails():
    assert not check_events([], start=None).passed


def test_a_review_that_was_acknowledged_and_has_no_event_is_found():
    lost = PostedReview("REST", 1.0, 201, 14)
    assert check_events(received(1, 2, 3), posted=[lost]).without_event == [14]


def test_a_review_that_is_stored_and_has_no_event_is_found():
    without_event = STATE._replace(reviews=STATE.reviews | {15})
    assert check_events(received(1, 2, 3), state=without_event).without_event == [15]
