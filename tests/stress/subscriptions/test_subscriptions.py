"""The short form of `make storm`, and proof that its judge sees what it should."""

import pytest

from stress.subscriptions.records import Account, Posted, Records, Seen
from stress.subscriptions.run import storm
from stress.subscriptions.verdict import Told, Truth, judge


def test_who_resumes_sees_every_review_in_order_once_while_workers_and_redis_fail(postgres_copy):
    verdict = storm(seed=20_240_101, reviews=60, seconds=8, subscribers=16, database=postgres_copy)
    assert verdict.passed, str(verdict)
    assert len(verdict.records.acknowledged) >= 60
    assert sum(account.drops for account in verdict.records.accounts) > 10
    assert len(set(verdict.faults)) >= 4


def test_the_judge_sees_that_nobody_can_resume(sqlite_database):
    how = {
        "reviews": 40,
        "seconds": 3,
        "subscribers": 8,
        "redis": False,
        "faults": False,
        "patience": 2.0,
    }
    verdict = storm(seed=1, broken="after", database=sqlite_database, **how)
    assert not verdict.passed
    assert any(finding.gaps for finding in verdict.findings)
    assert not verdict.untold


TRUTH = Truth("log", [Told(1, 7, 11), Told(2, 8, 12), Told(3, 7, 13)], frozenset({11, 12, 13}))


def seen(*positions, log="log", book=None):
    events = {event.position: event for event in TRUTH.events}
    return [Seen(log, at, events[at].review, book or events[at].book, 5.0, 0.0) for at in positions]


def judged(found, *, book=None, start=0, posted=(), truth=TRUTH):
    account = Account("ws", book, asks=start is not None, start=start, seen=found)
    return judge(Records([account], list(posted)), [], truth)


@pytest.mark.parametrize(
    ("found", "book", "start"),
    [
        (seen(1, 2, 3), None, 0),
        (seen(1, 3), 7, 0),
        (seen(3), None, 2),
        (seen(2, 3), None, None),
    ],
)
def test_who_saw_all_since_its_start_was_served_well(found, book, start):
    assert judged(found, book=book, start=start).passed


@pytest.mark.parametrize(
    ("found", "book", "what"),
    [
        (seen(1, 3), None, {"gaps": [2]}),
        (seen(1), 7, {"gaps": [3]}),
        (seen(1, 2), None, {"gaps": [3]}),
        (seen(1, 2, 2, 3), None, {"repeats": [2]}),
        (seen(1, 3, 2), None, {"disorder": [(3, 2)]}),
        (seen(1, 2, 3), 7, {"strange": [2]}),
        (seen(1, 2, 3, book=7), None, {"strange": [2]}),
        (seen(1, 2, 3, log="other"), None, {"strange": [1, 2, 3]}),
    ],
)
def test_who_did_not_is_found(found, book, what):
    verdict = judged(found, book=book)
    assert not verdict.passed
    [finding] = verdict.findings
    for name in ("gaps", "repeats", "disorder", "strange"):
        assert getattr(finding, name) == what.get(name, []), name


def test_who_saw_nothing_is_found():
    assert not judged([], start=None).passed


def test_a_review_that_was_acknowledged_and_is_no_event_is_found():
    lost = Posted("REST", 0.0, 1.0, 201, 14)
    assert judged(seen(1, 2, 3), posted=[lost]).untold == [14]


def test_a_review_that_is_written_and_is_no_event_is_found():
    silent = TRUTH._replace(reviews=TRUTH.reviews | {15})
    assert judged(seen(1, 2, 3), truth=silent).untold == [15]
