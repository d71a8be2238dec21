"""The checker of followers, with records made by hand."""

import pytest

from stress.subscriptions.checker import check
from stress.subscriptions.records import FollowerRecord

CREATED, CHANGED = "review.created", "review.changed"
LOG = [
    {"cursor": f"log-{position}", "type": kind, "at": "now", "data": {"id": 11, "book_id": book}}
    for position, (kind, book) in enumerate([(CREATED, 7), (CREATED, 8), (CHANGED, 7)], 1)
]


def received(*positions, **other):
    return [{**LOG[position - 1], **other} for position in positions]


def check_events(events, transport="pages", *, types=None, book=None, start="log-0", log=LOG):
    record = FollowerRecord(transport, types, book, start=start, events=events)
    return check([record], log)


@pytest.mark.parametrize(
    ("events", "wanted"),
    [
        (received(1, 2, 3), {}),
        (received(1, 3), {"book": 7}),
        (received(3), {"types": {CHANGED}}),
        (received(3), {"start": "log-2"}),
        (received(2, 3), {"start": None}),
        ([], {"types": {CHANGED}, "start": "log-3"}),
        ([{"cursor": "log-1", "data": {"id": 11}}], {"types": {CREATED}, "book": 7}),
        (received(1, 2, 2, 1, 3), {"transport": "webhook"}),
    ],
)
def test_a_follower_passes_that_received_all_events_since_its_start(events, wanted):
    result = check_events(events, **wanted)
    assert result.passed, str(result)


@pytest.mark.parametrize(
    ("events", "wanted", "errors"),
    [
        (received(1, 3), {}, {"missing": [2]}),
        (received(1), {"book": 7}, {"missing": [3]}),
        (received(1, 2), {}, {"missing": [3]}),
        (received(1, 2, 2, 3), {}, {"repeated": [2]}),
        (received(1, 3, 2), {}, {"out_of_order": [(3, 2)]}),
        (received(1, 3, 2), {"transport": "webhook"}, {"out_of_order": [(3, 2)]}),
        (received(1, 3), {"transport": "webhook"}, {"missing": [2]}),
        (received(1, 2, 3), {"book": 7}, {"unexpected": [2]}),
        (received(1, 2, 3), {"start": "log-1"}, {"unexpected": [1]}),
        (received(1, 2, 3, data={"id": 12}), {}, {"unexpected": [1, 2, 3]}),
        (received(1, 2, 3, at="then"), {}, {"unexpected": [1, 2, 3]}),
        ([{"cursor": "other-1", "data": {"id": 11}}], {"book": 7}, {"unexpected": [1]}),
    ],
)
def test_each_error_of_a_follower_is_found(events, wanted, errors):
    result = check_events(events, **wanted)
    assert not result.passed
    [follower] = result.followers
    for name, value in errors.items():
        assert getattr(follower, name) == value


def test_a_follower_that_received_nothing_fails():
    assert not check_events([], start=None).passed


def test_a_gap_in_the_log_is_found():
    result = check_events(received(1, 3), log=[LOG[0], LOG[2]])
    assert result.log_errors == ["1 is followed by 3"]
