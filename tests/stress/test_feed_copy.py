"""Copies by export and feed, and proof that the comparison finds what differs."""

import pytest

from stress.feed_copy import Export, check_copies, compare

BOOK = {"id": 7, "title": "A", "stars": {"5": 1}, "review_count": 1}
REVIEW = {"id": 9, "book_id": 7, "rating": 5}
PRODUCT = {"id": 5, "price": "9.00", "stock_level": 7}


def event(position, kind, **data):
    return {"cursor": f"log-{position}", "type": kind, "data": data}


LOG = [
    event(1, "book.created", **BOOK),
    event(2, "review.created", **REVIEW),
    event(3, "product.created", **PRODUCT),
    event(4, "stock.changed", **{**PRODUCT, "stock_level": 4}, delta=-3, reason="sale"),
    event(5, "book.changed", **{**BOOK, "title": "B"}),
    event(6, "review.hidden", id=9, book_id=7),
]
EXPORTS = [
    Export("book", 1, {7: BOOK | {"source_id": None}}),
    Export("review", 2, {9: REVIEW}),
    Export("product", 3, {5: PRODUCT}),
    Export("book", 6, {7: BOOK | {"title": "B", "stars": {"5": 0}, "source_id": None}}),
    Export("review", 6, {}),
    Export("product", 6, {5: PRODUCT | {"stock_level": 4}}),
]


def test_copies_that_equal_later_exports_agree():
    assert not list(compare(EXPORTS, LOG))


@pytest.mark.parametrize("number", [3, 4, 5])
def test_an_event_that_is_missing_in_the_feed_is_found(number):
    assert list(compare(EXPORTS, LOG[:number] + LOG[number + 1 :]))


@pytest.mark.parametrize(("number", "position"), [(0, 5), (1, 6), (2, 4)])
def test_a_cursor_that_is_too_late_is_found(number, position):
    exports = [*EXPORTS]
    exports[number] = exports[number]._replace(position=position)
    assert list(compare(exports, LOG))


def test_copies_under_concurrent_writers_equal_later_exports(postgres_copy):
    errors = check_copies(
        seed=1, copies=3, pause=0.5, writers=4, loads=False, database=postgres_copy
    )
    assert not errors
