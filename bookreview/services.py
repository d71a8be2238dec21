"""Writes of books and reviews: the business rules, with one commit for each write."""

from typing import Any

from sqlalchemy import ColumnElement, Update, insert, update
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict
from app.extensions import db
from app.unit_of_work import commit
from bookreview import queries
from bookreview.cache_tags import BOOKS, MEMBERS, book_tag
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
    commit(invalidate=[BOOKS, MEMBERS])
    return book


def add_review(book_id: int, rating: int, reviewer: str, text: str) -> Any:
    """Add a review and update the average of its book; raise NotFound for an unknown book."""
    # This locks the row of the book, which serializes simultaneous reviews of one book.
    add_rating = add_ratings(Book.id == book_id, 1, rating).returning(Book.title)
    title = db.session.scalar(add_rating)
    if title is None:
        db.session.rollback()
        raise queries.book_not_found(book_id)
    statement = insert(Review).values(book_id=book_id, rating=rating, reviewer=reviewer, text=text)
    review = db.session.execute(statement.returning(*queries.REVIEW_COLUMNS)).one()
    reviews = reviews_topic(book_id)
    tags = [BOOKS, book_tag(book_id), reviews]
    # Subscribers to all books need the title, and must not query the database for each event.
    commit(invalidate=tags, event=(reviews, {**review._asdict(), "book_title": title}))
    return review


def reviews_topic(book_id: int) -> str:
    """Return the cache tag of a book's list of reviews, which is also the topic of its events."""
    return f"book:{book_id}:reviews"


def add_ratings(books: ColumnElement[bool], count: int, rating_sum: int) -> Update:
    """Return the statement that adds to the ratings of each of the ``books``."""
    return (
        update(Book)
        .where(books)
        .values(review_count=Book.review_count + count, rating_sum=Book.rating_sum + rating_sum)
        .execution_options(synchronize_session=False)
    )
