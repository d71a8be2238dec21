"""Reads: columns in, plain rows out."""

from typing import Any

from sqlalchemy import Row, Select, select

from app.database import rows
from app.errors import NotFound
from app.pagination import Page, PageRequest, paginate
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


def books(
    page: PageRequest,
    q: str | None = None,
    author: str | None = None,
    isbn: str | None = None,
) -> Page:
    """Return a page of the books that match all of the filters, by id."""
    found: Select[*tuple[Any, ...]] = select(*BOOK)
    if q is not None:
        found = found.where(Book.folded.contains(q.casefold(), autoescape=True))
    if author is not None:
        # Only the author's line has a newline before it.
        found = found.where(Book.folded.like(_in_author(author), escape="/"))
    if isbn is not None:
        found = found.where(Book.isbn == isbn)
    return paginate(found, keys=[Book.id], page=page)


def _in_author(part: str) -> str:
    literal = part.casefold()
    for special in "/%_":
        literal = literal.replace(special, f"/{special}")
    return f"%\n%{literal}%"


def book(book_id: int) -> Row[*tuple[Any, ...]]:
    """Return one book; raise NotFound."""
    found = rows(select(*BOOK).where(Book.id == book_id))
    if not found:
        raise no_book(book_id)
    return found[0]


def reviews(book_id: int, page: PageRequest) -> Page:
    """Return a page of a book's reviews, newest first; raise NotFound for an unknown book."""
    found = paginate(
        reviews_of(book_id), keys=[Review.created_at, Review.id], page=page, descending=True
    )
    if not found.items and not rows(select(Book.id).where(Book.id == book_id)):
        raise no_book(book_id)
    return found


def reviews_of(book_id: int) -> Select[*tuple[Any, ...]]:
    """Select the reviews of one book, in no order."""
    return select(*REVIEW).where(Review.book_id == book_id)


def no_book(book_id: int) -> NotFound:
    """Say that there is no such book."""
    return NotFound(f"There is no book {book_id}.")
