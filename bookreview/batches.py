"""The first reviews of many books at once, in one statement."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import CompoundSelect, Integer, Row, bindparam, select, union_all

from app.api.pagination import LIMIT
from app.db.engine import unbegun
from bookreview.models import Review
from bookreview.queries import NEWEST_FIRST, REVIEW

NOBODY = 0
"""The id of no book."""
AnyRow = Row[*tuple[Any, ...]]


def newest_reviews(book_ids: Sequence[int], limit: int) -> Mapping[int, list[AnyRow]]:
    """Return the newest ``limit`` reviews of each book, newest first."""
    places = 1 << (len(book_ids) - 1).bit_length()
    asked = [*book_ids, *[NOBODY] * (places - len(book_ids))]
    values = {_name(number): book_id for number, book_id in enumerate(asked)}
    with unbegun().connect() as connection:
        found = connection.execute(_of(places), {**values, LIMIT: limit}).all()
    return _by_book(book_ids, found)


@cache
def _of(places: int) -> CompoundSelect[*tuple[Any, ...]]:
    """Enter the index once for each book; a statement for each power of two, found compiled."""
    return union_all(*(select(_first(number).subquery()) for number in range(places)))


def _first(number: int) -> Any:
    whose = Review.book_id == bindparam(_name(number), type_=Integer)
    newest = select(*REVIEW).where(whose).order_by(*NEWEST_FIRST.of(NEWEST_FIRST.keys))
    return newest.limit(bindparam(LIMIT, type_=Integer))


def _by_book(book_ids: Iterable[int], found: Iterable[AnyRow]) -> Mapping[int, list[AnyRow]]:
    """Put the rows to their books; the order of a union is nobody's promise."""
    reviews: dict[int, list[AnyRow]] = {book_id: [] for book_id in book_ids}
    for row in sorted(found, key=lambda row: (row.created_at, row.id), reverse=True):
        reviews[row.book_id].append(row)
    return reviews


def _name(number: int) -> str:
    return f"book_{number}"
