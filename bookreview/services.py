"""Writes of books and reviews: the business rules, with one commit for each write."""

from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict
from app.extensions import db
from app.unit_of_work import commit
from bookreview import queries
from bookreview.models import Book, Review, fold


def add_book(title: str, author: str, **others: Any) -> Any:
    """Add a book; raise Conflict if its ISBN is taken."""
    values = {"title": title, "author": author, "folded": fold(title, author), **others}
    statement = insert(Book).values(values).returning(*queries.BOOK_COLUMNS)
    try:
        book = db.session.execute(statement).one()
    except IntegrityError:
        db.session.rollback()
        raise Conflict(f"A book with ISBN {others['isbn']} already exists.") from None
    commit(invalidate=["books"])
    return book


def add_review(book_id: int, rating: int, reviewer: str, text: str) -> Any:
    """Add a review and update the average of its book; raise NotFound for an unknown book."""
    # This locks the row of the book, which serializes simultaneous reviews of one book.
    if db.session.scalar(count_rating(book_id, rating)) is None:
        db.session.rollback()
        raise queries.book_not_found(book_id)
    values = {"book_id": book_id, "rating": rating, "reviewer": reviewer, "text": text}
    review = db.session.execute(
        insert(Review).values(values).returning(*queries.REVIEW_COLUMNS)
    ).one()
    reviews = reviews_topic(book_id)
    tags = ["books", f"book:{book_id}", reviews]
    commit(invalidate=tags, event=(reviews, review._asdict()))
    return review


def reviews_topic(book_id: int) -> str:
    """Return the cache tag of a book's list of reviews, which is also the topic of its events."""
    return f"book:{book_id}:reviews"


def count_rating(book_id: int, rating: int) -> Any:
    """Return the statement that adds a rating to a book, and returns its id if the book exists."""
    return (
        update(Book)
        .where(Book.id == book_id)
        .values(review_count=Book.review_count + 1, rating_sum=Book.rating_sum + rating)
        .returning(Book.id)
        .execution_options(synchronize_session=False)
    )
