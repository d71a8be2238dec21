"""Writes of books and reviews: the business rules, with one commit for each write."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Update, insert, update
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict
from app.extensions import db
from app.unit_of_work import commit
from bookreview import queries
from bookreview.cache_tags import BOOKS, MEMBERS, tags_of_ratings
from bookreview.models import RATINGS, Book, Review, derive


def add_book(title: str, author: str, **others: Any) -> Any:
    """Add a book; raise Conflict if its ISBN is taken."""
    values = {"title": title, "author": author, **derive(title, author), **others}
    statement = insert(Book).values(values).returning(*queries.BOOK_COLUMNS)
    try:
        book = db.session.execute(statement).one()
    except IntegrityError:
        db.session.rollback()
        raise Conflict(f"A book with ISBN {others['isbn']} already exists.") from None
    commit(invalidate=[BOOKS, MEMBERS])
    return book


def add_review(book_id: int, rating: int, reviewer: str, text: str) -> Any:
    """Add a review and update the average of its book; raise NotFound for an unknown book."""
    # This locks the row of the book, which serializes simultaneous reviews of one book.
    add_rating = count_ratings(Book.id == book_id, {rating: 1}).returning(Book.title)
    title = db.session.scalar(add_rating)
    if title is None:
        db.session.rollback()
        raise queries.book_not_found(book_id)
    statement = insert(Review).values(book_id=book_id, rating=rating, reviewer=reviewer, text=text)
    review = db.session.execute(statement.returning(*queries.REVIEW_COLUMNS)).one()
    reviews = reviews_topic(book_id)
    tags = [*tags_of_ratings(book_id), reviews]
    # Subscribers to all books need the title, and must not query the database for each event.
    commit(invalidate=tags, event=(reviews, {**review._asdict(), "book_title": title}))
    return review


def reviews_topic(book_id: int) -> str:
    """Return the cache tag of a book's list of reviews, which is also the topic of its events."""
    return f"book:{book_id}:reviews"


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
