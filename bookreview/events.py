"""The events of books and reviews: what each write of them has to tell."""

from typing import Any

from app.api.contract import document_of
from app.events.log import NewEvent
from bookreview.cache_tags import book_tag, review_tag, reviews_topic
from bookreview.schemas import BookSchema, ReviewSchema

BOOK, REVIEW = document_of(BookSchema), document_of(ReviewSchema)


def book_event(kind: str, book: Any) -> NewEvent:
    """Return the event ``book.<kind>``, given the row of the book as it is now."""
    return NewEvent(f"book.{kind}", book_tag(book.id), BOOK(book))


def book_deleted(book_id: int) -> NewEvent:
    """Return the event of a deleted book."""
    return NewEvent("book.deleted", book_tag(book_id), {"id": book_id})


def review_created(review: Any, title: str) -> NewEvent:
    """Return the event of a new review of the book with this title.

    Subscriptions show the title, and must not query the database for each event.
    """
    topic = reviews_topic(review.book_id)
    return NewEvent("review.created", topic, REVIEW(review), {"book_title": title})


def review_changed(review: Any, *, was_hidden: bool) -> list[NewEvent]:
    """Return the event of a review as it is now, which was changed, hidden or shown.

    There is none if it was hidden and still is: its text is nobody's business.
    """
    if review.hidden:
        return [] if was_hidden else [_gone("hidden", review)]
    kind = "shown" if was_hidden else "changed"
    return [NewEvent(f"review.{kind}", review_tag(review.id), REVIEW(review))]


def review_deleted(review: Any) -> NewEvent:
    """Return the event of a deleted review, which may have been hidden."""
    return _gone("deleted", review)


def _gone(kind: str, review: Any) -> NewEvent:
    ids = {"id": review.id, "book_id": review.book_id}
    return NewEvent(f"review.{kind}", review_tag(review.id), ids)
