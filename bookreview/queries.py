"""Reads: columns in, plain rows out. Each statement is made once, for all calls."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from sqlalchemy import Row, bindparam, select

from app.api.pagination import Order, Page, PageRequest, Statement, count, paginate
from app.db.engine import rows
from app.errors import NotFound
from bookreview.models import Book, Review

BOOK = (
    Book.id,
    Book.title,
    Book.author,
    Book.isbn,
    Book.published_year,
    Book.review_count,
    Book.average_rating,
    Book.created_at,
)
REVIEW = (
    Review.id,
    Review.book_id,
    Review.rating,
    Review.reviewer,
    Review.text,
    Review.created_at,
)


ONE_BOOK = select(*BOOK).where(Book.id == bindparam("book_id"))
BOOK_ID = select(Book.id).where(Book.id == bindparam("book_id"))
REVIEWS_OF_A_BOOK = select(*REVIEW).where(Review.book_id == bindparam("book_id"))
BY_ID = Order((Book.id,))
NEWEST_FIRST = Order((Review.created_at, Review.id), descending=True)
FILTERS = {
    "q": Book.folded.like(bindparam("q"), escape="/"),
    # Only the author's line has a newline before it.
    "author": Book.folded.like(bindparam("author"), escape="/"),
    "isbn": Book.isbn == bindparam("isbn"),
}


@cache
def books_by(names: frozenset[str]) -> Statement:
    """Select the books that match the filters of these names."""
    return select(*BOOK).where(*(FILTERS[name] for name in sorted(names)))


def books(
    page: PageRequest,
    q: str | None = None,
    author: str | None = None,
    isbn: str | None = None,
) -> Page:
    """Return a page of the books that match all of the filters, by id."""
    statement, asked = _books(q, author, isbn)
    return paginate(statement, asked, BY_ID, page)


def count_books(q: str | None = None, author: str | None = None, isbn: str | None = None) -> int:
    """Count the books that match all of the filters."""
    return count(*_books(q, author, isbn))


def _books(
    q: str | None, author: str | None, isbn: str | None
) -> tuple[Statement, Mapping[str, Any]]:
    values = {
        "q": None if q is None else f"%{_literal(q)}%",
        "author": None if author is None else f"%\n%{_literal(author)}%",
        "isbn": isbn,
    }
    asked = {name: value for name, value in values.items() if value is not None}
    return books_by(frozenset(asked)), asked


def _literal(part: str) -> str:
    """Fold ``part`` as the column is folded, and take every character as it is."""
    return re.sub("[/%_]", r"/\g<0>", part.casefold())


def book(book_id: int) -> Row[*tuple[Any, ...]]:
    """Return one book; raise NotFound."""
    found = rows(ONE_BOOK, {"book_id": book_id})
    if not found:
        raise no_book(book_id)
    return found[0]


def reviews(book_id: int, page: PageRequest) -> Page:
    """Return a page of a book's reviews, newest first; raise NotFound for an unknown book."""
    whose = {"book_id": book_id}
    found = paginate(REVIEWS_OF_A_BOOK, whose, NEWEST_FIRST, page)
    if not found.items and not rows(BOOK_ID, whose):
        raise no_book(book_id)
    return found


def count_reviews(book_id: int) -> int:
    """Count a book's reviews."""
    return count(REVIEWS_OF_A_BOOK, {"book_id": book_id})


def no_book(book_id: int) -> NotFound:
    """Say that there is no such book."""
    return NotFound(f"There is no book {book_id}.")
