"""Writes of books and reviews: the business rules, with one commit for each write.

Rows are locked in one order, first a review and then its book, so that no two writes can deadlock.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Update, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.errors import ApiError, Conflict, PreconditionFailed
from app.events.log import NewEvent
from app.extensions import db
from app.unit_of_work import commit, end_unchanged
from bookreview import queries
from bookreview.cache_tags import (
    BOOKS,
    MEMBERS,
    book_tag,
    review_tag,
    reviews_topic,
    tags_of_ratings,
)
from bookreview.events import (
    book_deleted,
    book_event,
    review_changed,
    review_created,
    review_deleted,
)
from bookreview.models import RATINGS, Book, Review, derive

Versions = Collection[str] | None
"""The versions that a write accepts; None: every version."""


def add_book(title: str, author: str, **others: Any) -> Any:
    """Add a book; raise Conflict if its ISBN is taken."""
    values = {"title": title, "author": author, **derive(title, author), **others}
    statement = insert(Book).values(values).returning(*queries.BOOK_WITH_VERSION)
    try:
        book = db.session.execute(statement).one()
    except IntegrityError:
        raise _roll_back(_isbn_taken(others["isbn"])) from None
    commit(invalidate=[BOOKS, MEMBERS], events=[book_event("created", book)])
    return book


def update_book(book_id: int, versions: Versions, **changes: Any) -> Any:
    """Change some fields of a book.

    Raise NotFound, PreconditionFailed if it has none of the ``versions``, or Conflict if another
    book has the ISBN.
    """
    book = _lock_book(book_id, versions)
    values = {name: value for name, value in changes.items() if value != getattr(book, name)}
    if not values:
        end_unchanged()
        return book
    if "title" in values or "author" in values:
        values |= derive(values.get("title", book.title), values.get("author", book.author))
    statement = update(Book).where(Book.id == book_id).values(**values, version=Book.version + 1)
    try:
        changed = db.session.execute(statement.returning(*queries.BOOK_WITH_VERSION)).one()
    except IntegrityError:
        raise _roll_back(_isbn_taken(values["isbn"])) from None
    tags = [BOOKS, MEMBERS, book_tag(book_id)]
    commit(invalidate=tags, events=[book_event("changed", changed)])
    return changed


def delete_book(book_id: int, versions: Versions) -> None:
    """Delete a book; raise as ``update_book`` does, and Conflict if it has any review."""
    _lock_book(book_id, versions)
    reviews = select(Review.id).where(Review.book_id == book_id).limit(1)
    if db.session.scalar(reviews) is not None:
        detail = "The book has reviews, of which some may be hidden: delete all of them first."
        raise _roll_back(Conflict(detail))
    db.session.execute(delete(Book).where(Book.id == book_id))
    tags = [BOOKS, MEMBERS, book_tag(book_id), reviews_topic(book_id)]
    commit(invalidate=tags, events=[book_deleted(book_id)])


def add_review(book_id: int, rating: int, reviewer: str, text: str) -> Any:
    """Add a review and count it in its book; raise NotFound for an unknown book."""
    # This locks the row of the book, which serializes simultaneous reviews of one book.
    counted = count_ratings(Book.id == book_id, {rating: 1}).returning(Book.title)
    title = db.session.scalar(counted)
    if title is None:
        raise _roll_back(queries.book_not_found(book_id))
    statement = insert(Review).values(book_id=book_id, rating=rating, reviewer=reviewer, text=text)
    review = db.session.execute(statement.returning(*queries.REVIEW_WITH_VERSION)).one()
    tags = _tags_of_reviews(review, counts=True)
    commit(invalidate=tags, events=[review_created(review, title)])
    return review


def update_review(review_id: int, versions: Versions, *, sees_hidden: bool, **changes: Any) -> Any:
    """Change the rating or the text of a review, hide it, or show it again.

    Raise NotFound, also for a hidden review unless ``sees_hidden``, or PreconditionFailed if it
    has none of the ``versions``.
    """
    review = _lock_review(review_id, versions, sees_hidden=sees_hidden)
    before = {"rating": review.rating, "text": review.text, "hidden": bool(review.hidden)}
    values = {name: value for name, value in changes.items() if value != before[name]}
    if not values:
        end_unchanged()
        return review
    statement = update(Review).where(Review.id == review_id)
    statement = statement.values(**values, version=Review.version + 1)
    changed = db.session.execute(statement.returning(*queries.REVIEW_WITH_VERSION)).one()
    events = review_changed(changed, was_hidden=bool(review.hidden))
    _commit_ratings(review, changed, events)
    return changed


def delete_review(review_id: int, versions: Versions, *, sees_hidden: bool) -> None:
    """Delete a review; raise as ``update_review`` does."""
    review = _lock_review(review_id, versions, sees_hidden=sees_hidden)
    db.session.execute(delete(Review).where(Review.id == review_id))
    _commit_ratings(review, None, [review_deleted(review)])


def _lock_book(book_id: int, versions: Versions) -> Any:
    # Not FOR NO KEY UPDATE: to change an ISBN, or to delete, PostgreSQL would need more later.
    locking = select(*queries.BOOK_WITH_VERSION).where(Book.id == book_id).with_for_update()
    book = db.session.execute(locking).one_or_none()
    if book is None:
        raise _roll_back(queries.book_not_found(book_id))
    return _checked(book, versions, "book")


def _lock_review(review_id: int, versions: Versions, *, sees_hidden: bool) -> Any:
    locking = select(*queries.REVIEW_WITH_VERSION).where(Review.id == review_id).with_for_update()
    review = db.session.execute(locking).one_or_none()
    if review is None or (review.hidden and not sees_hidden):
        raise _roll_back(queries.review_not_found(review_id))
    return _checked(review, versions, "review")


def _checked(row: Any, versions: Versions, kind: str) -> Any:
    if versions is not None and str(row.version) not in versions:
        raise _roll_back(PreconditionFailed(f"The {kind} has changed since it was read."))
    return row


def _commit_ratings(before: Any, after: Any | None, events: Sequence[NewEvent]) -> None:
    """Count what has become of a review in its book, and commit."""
    changes: Counter[int] = Counter()
    if not before.hidden:
        changes[before.rating] -= 1
    if after is not None and not after.hidden:
        changes[after.rating] += 1
    counts = any(changes.values())
    if counts:
        db.session.execute(count_ratings(Book.id == before.book_id, changes))
    commit(invalidate=_tags_of_reviews(before, counts=counts), events=events)


def _tags_of_reviews(review: Any, *, counts: bool) -> list[str]:
    """Return the tags of a review and of the lists it is in; ``counts``: its book has changed."""
    ratings = tags_of_ratings(review.book_id) if counts else []
    return [*ratings, reviews_topic(review.book_id), review_tag(review.id)]


def count_ratings(books: ColumnElement[bool], changes: Mapping[int, int]) -> Update:
    """Return the statement that counts ratings into each of the ``books``.

    ``changes`` are how many more visible reviews with each rating there are, or fewer.
    """
    stars = {f"stars_{rating}": changes.get(rating, 0) for rating in RATINGS}
    deltas = {
        "review_count": sum(changes.values()),
        "rating_sum": sum(rating * count for rating, count in changes.items()),
        **stars,
        "version": 1,
    }
    return (
        update(Book)
        .where(books)
        .values({name: getattr(Book, name) + delta for name, delta in deltas.items() if delta})
        .execution_options(synchronize_session=False)
    )


def _isbn_taken(isbn: str) -> Conflict:
    return Conflict(f"A book with ISBN {isbn} already exists.")


def _roll_back(error: ApiError) -> ApiError:
    db.session.rollback()
    return error
