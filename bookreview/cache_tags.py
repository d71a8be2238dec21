"""The cache tags of books: on which ones a list depends, and which ones a write invalidates."""

from app.api.pagination import Page

BOOKS = "books"
"""The guard tag of every list: every write invalidates it, that of a review included."""
MEMBERS = "books:members"
"""Which books there are, and which filters select them: all but their ratings."""


def book_tag(book_id: int) -> str:
    """Return the tag of everything that is shown about one book, except its reviews."""
    return f"book:{book_id}"


def fine_tags(books: Page) -> list[str]:
    """Return the tags of all that a page of books depends on."""
    return [MEMBERS, *(book_tag(book.id) for book in books.items)]
