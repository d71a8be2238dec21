"""Queries for books and reviews: they return plain rows. Each statement is built only once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import (
    Boolean,
    CompoundSelect,
    Integer,
    Text,
    bindparam,
    false,
    func,
    literal_column,
    select,
    type_coerce,
    union_all,
)

from app.api.pagination import LIMIT, Page, PageRequest, SortOrder, Statement, count, paginate
from app.db.reads import Row, fetch_compiled
from app.db.types import JsonText
from app.errors import NotFound
from bookreview.models import RATINGS, Book, Review


def _write_stars() -> Any:
    """Write the expression of ``{"1": 7, ... "5": 40}``: how many reviews have each rating."""
    json: Any = literal_column("'{'", Text)
    for rating in RATINGS:
        name = literal_column(f"""'{"," if rating > 1 else ""}"{rating}":'""", Text)
        json = json.concat(name).concat(getattr(Book, f"stars_{rating}"))
    return type_coerce(json.concat(literal_column("'}'", Text)), JsonText()).label("stars")


STARS = _write_stars()
BOOK_COLUMNS = (
    Book.id,
    Book.title,
    Book.author,
    Book.isbn,
    Book.published_year,
    Book.review_count,
    Book.average_rating,
    STARS,
    Book.created_at,
)
BOOK_WITH_VERSION = (*BOOK_COLUMNS, Book.version)
REVIEW_COLUMNS = (
    Review.id,
    Review.book_id,
    Review.rating,
    Review.reviewer,
    Review.text,
    Review.created_at,
)
BOOK_BY_ID = select(*BOOK_WITH_VERSION).where(Book.id == bindparam("book_id"))
VISIBLE = Review.hidden == false()
# A visible review does not show this field.
HIDDEN = func.nullif(Review.hidden, false(), type_=Boolean).label("hidden")
LISTED_COLUMNS = (*REVIEW_COLUMNS, Review.version)
REVIEW_WITH_VERSION = (*LISTED_COLUMNS, HIDDEN)
REVIEW_BY_ID = select(*REVIEW_WITH_VERSION).where(Review.id == bindparam("review_id"))
REVIEWS_OF_A_BOOK = select(*LISTED_COLUMNS).where(Review.book_id == bindparam("book_id"), VISIBLE)
ALL_REVIEWS = (
    select(*LISTED_COLUMNS, Book.title.label("book_title"))
    .join(Book, Book.id == Review.book_id)
    .where(VISIBLE)
)
REVIEW_IDS = select(Review.id).where(VISIBLE)
NEWEST_FIRST = SortOrder((Review.created_at, Review.id), descending=True)
LAST_ADDED_FIRST = SortOrder((Review.id,), descending=True)
REVIEW_ORDERS = {
    "newest": NEWEST_FIRST,
    "oldest": SortOrder((Review.created_at, Review.id)),
    "highest": SortOrder((Review.rating, Review.created_at, Review.id), descending=True),
    "lowest": SortOrder((Review.rating, Review.created_at, Review.id)),
}
REVIEW_FILTERS = {
    "rating": Review.rating == bindparam("rating"),
    "min_rating": Review.rating >= bindparam("min_rating"),
}


def book(book_id: int) -> Row:
    """Return one book; raise NotFound."""
    books = fetch_compiled(BOOK_BY_ID, {"book_id": book_id})
    if not books:
        raise book_not_found(book_id)
    return books[0]


def reviews(book_id: int, page: PageRequest, sort: str = "newest", **filters: int | None) -> Page:
    """Return a page of a book's reviews that match the filters; raise NotFound."""
    given = {name: value for name, value in filters.items() if value is not None}
    order, names = REVIEW_ORDERS[sort], frozenset(given)
    if names == {"min_rating"} and sort != "highest":  # which ends at this rating
        order, names = _from_rating(sort, given["min_rating"]), frozenset[str]()
    reviews = paginate(select_reviews(names), {"book_id": book_id, **given}, order, page)
    if not reviews.items:
        book(book_id)  # raises NotFound
    return reviews


@cache
def select_reviews(names: frozenset[str]) -> Statement:
    """Return the statement for the reviews of a book, with the filters of these names."""
    return REVIEWS_OF_A_BOOK.where(*(REVIEW_FILTERS[name] for name in sorted(names)))


@cache
def _from_rating(sort: str, minimum: int) -> SortOrder:
    """Return the order of the reviews that have at least this rating."""
    order = REVIEW_ORDERS[sort]
    if sort == "lowest":
        return replace(order, start=(REVIEW_FILTERS["min_rating"],))
    # The index has only the reviews with one rating by time.
    parts = (Review.rating == rating for rating in RATINGS[minimum - 1 :])
    return replace(order, parts=tuple(parts))


def review(review_id: int, *, sees_hidden: bool) -> Row:
    """Return one review; raise NotFound, also for a hidden one unless ``sees_hidden``."""
    reviews = fetch_compiled(REVIEW_BY_ID, {"review_id": review_id})
    if not reviews or (reviews[0].hidden and not sees_hidden):
        raise review_not_found(review_id)
    return reviews[0]


def count_reviews(book_id: int) -> int:
    """Count a book's reviews."""
    return count(REVIEWS_OF_A_BOOK, {"book_id": book_id})


def all_reviews(page: PageRequest) -> Page:
    """Return a page of the reviews of all books with ``book_title``, the last added first."""
    return paginate(ALL_REVIEWS, {}, LAST_ADDED_FIRST, page)


def count_all_reviews() -> int:
    """Count the reviews of all books."""
    return count(REVIEW_IDS, {})


def newest_reviews(book_ids: Sequence[int], limit: int) -> Mapping[int, list[Row]]:
    """Return the newest ``limit`` reviews of each book, newest first, in one statement."""
    size = 1 << (len(book_ids) - 1).bit_length()
    padded = [*book_ids, *[0] * (size - len(book_ids))]  # no book has the id 0
    values = {f"book_{number}": book_id for number, book_id in enumerate(padded)}
    rows = fetch_compiled(select_newest_reviews(size), {**values, LIMIT.key: limit})
    reviews: dict[int, list[Row]] = {book_id: [] for book_id in book_ids}
    # A UNION ALL guarantees no order.
    for row in sorted(rows, key=lambda row: (row.created_at, row.id), reverse=True):
        reviews[row.book_id].append(row)
    return reviews


@cache
def select_newest_reviews(size: int) -> CompoundSelect[*tuple[Any, ...]]:
    """Return the statement for ``size`` books, which searches the index once for each of them.

    Sizes are powers of two, so that few statements have to be compiled.
    """
    return union_all(*(select(_newest_of_book(number).subquery()) for number in range(size)))


def _newest_of_book(number: int) -> Any:
    of_book = Review.book_id == bindparam(f"book_{number}", type_=Integer)
    ordered = select(*LISTED_COLUMNS).order_by(*NEWEST_FIRST.apply(NEWEST_FIRST.keys))
    return ordered.where(of_book, VISIBLE).limit(LIMIT)


def book_not_found(book_id: int) -> NotFound:
    """Return the error for an unknown book."""
    return NotFound(f"There is no book {book_id}.")


def review_not_found(review_id: int) -> NotFound:
    """Return the error for an unknown review."""
    return NotFound(f"There is no review {review_id}.")
