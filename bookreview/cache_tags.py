"""The cache tags of books and reviews: what lists depend on, and what a write invalidates."""

from collections.abc import Mapping
from typing import Any

from app.api.pagination import Page

BOOKS = "books"
"""The guard tag of every list: every write invalidates it, that of a review included."""
MEMBERS = "books:members"
"""Which books there are, and all about them but their ratings: any change of a book, a load."""
RATINGS = "books:ratings"
"""The ratings of all books: every write that changes the number or the average of a book."""
BY_RATINGS = {"average_rating", "-average_rating", "review_count", "-review_count"}


def book_tag(book_id: int) -> str:
    """Return the tag of everything that is shown about one book, except its reviews.

    It is also the topic of its events.
    """
    return f"book:{book_id}"


def review_tag(review_id: int) -> str:
    """Return the tag of a single review, which is also the topic of its events."""
    return f"review:{review_id}"


def reviews_topic(book_id: int) -> str:
    """Return the tag of a book's list of reviews, which is also the topic of new ones."""
    return f"book:{book_id}:reviews"


def fine_tags(books: Page, query: Mapping[str, Any]) -> list[str]:
    """Return the tags of all that a page of books depends on.

    The ratings of other books only matter if they decide which rows these are.
    """
    tags = [MEMBERS, *(book_tag(book.id) for book in books.items)]
    if query.get("min_rating") is not None or query.get("sort") in BY_RATINGS:
        tags.append(RATINGS)
    return tags


def tags_of_ratings(*book_ids: int) -> list[str]:
    """Return the tags to invalidate when the ratings of these books have changed."""
    return [BOOKS, RATINGS, *map(book_tag, book_ids)]
