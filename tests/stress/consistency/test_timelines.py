"""Stale reads of a book's number of reviews, with records made by hand."""

from types import SimpleNamespace

import orjson
import pytest

from stress.consistency.checker import check
from stress.consistency.expected import ExpectedState
from stress.consistency.records import Read, Records, Write
from stress.http_client import Response

BOOK = 7


def write(began: float, ended: float, status: int = 201, review: int = 1) -> Write:
    body = orjson.dumps({"id": review})
    return Write("review", BOOK, str(review), Response(began, ended, status, "", "", body), {})


def read(began: float, count: int) -> Read:
    return Read(Response(began, began + 0.1, 200, "hit", "", b""), "book", {("book", BOOK): count})


def staleness(*records: Read | Write) -> list[float]:
    reads = [one for one in records if isinstance(one, Read)]
    writes = [one for one in records if isinstance(one, Write)]
    reviews = [SimpleNamespace(id=1, book_id=BOOK), SimpleNamespace(id=2, book_id=BOOK)]
    for review in reviews:
        review.text, review.rating = str(review.id), 4
    state = ExpectedState({}, {}, {}, {BOOK: reviews}, undelivered=0)
    return [stale.seconds for stale in check(Records(reads, writes), [], state).stale]


def test_a_response_without_an_acknowledged_write_is_stale_since_the_acknowledgement():
    seconds = staleness(write(1.0, 2.0), write(3.0, 4.0, review=2), read(4.5, count=0))
    assert seconds == [pytest.approx(2.5)]


def test_a_response_with_all_acknowledged_writes_is_fresh():
    assert staleness(write(1.0, 2.0), read(2.5, count=1)) == []


def test_a_write_that_was_acknowledged_after_the_read_began_may_be_missing():
    assert staleness(write(1.0, 2.0), read(1.5, count=0)) == []


def test_a_write_that_failed_may_be_missing():
    assert staleness(write(1.0, 2.0, status=503), read(2.5, count=0)) == []


def test_a_write_may_be_visible_before_its_acknowledgement():
    assert staleness(write(1.0, 2.0), read(1.5, count=1)) == []
