"""Writes: the rules, one commit each."""

from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from app.cache.tags import commit_and_forget
from app.errors import Conflict
from app.extensions import db
from bookreview import queries
from bookreview.models import Book, Review, fold


def add_book(title: str, author: str, **others: Any) -> Any:
    """Add a book; raise Conflict if its ISBN is taken."""
    values = {"title": title, "author": author, "folded": fold(title, author), **others}
    statement = insert(Book).values(values).returning(*queries.BOOK)
    try:
        book = db.session.execute(statement).one()
    except IntegrityError:
        db.session.rollback()
        raise Conflict(f"There is a book with ISBN {others['isbn']} already.") from None
    commit_and_forget("books")
    return book


def add_review(book_id: int, rating: int, reviewer: str, text: str) -> Any:
    """Add a review and count it into its book; raise NotFound for an unknown book."""
    # The row lock that this takes puts simultaneous reviews of one book in a line.
    if db.session.scalar(counted_in(book_id, rating)) is None:
        db.session.rollback()
        raise queries.no_book(book_id)
    values = {"book_id": book_id, "rating": rating, "reviewer": reviewer, "text": text}
    review = db.session.execute(insert(Review).values(values).returning(*queries.REVIEW)).one()
    reviews = topic_of(book_id)
    commit_and_forget("books", f"book:{book_id}", reviews, event=(reviews, review._asdict()))
    return review


def topic_of(book_id: int) -> str:
    """Name the reviews of a book: the tag of what is cached of them, the topic of new ones."""
    return f"book:{book_id}:reviews"


def counted_in(book_id: int, rating: int) -> Any:
    """Count one more review into its book; returns the id of the book, if there is one."""
    return (
        update(Book)
        .where(Book.id == book_id)
        .values(review_count=Book.review_count + 1, rating_sum=Book.rating_sum + rating)
        .returning(Book.id)
        .execution_options(synchronize_session=False)
    )
