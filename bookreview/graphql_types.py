"""The types of GraphQL: books, their reviews, and the lists of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NewType

import orjson
import strawberry
from strawberry import ID, UNSET, Info, Private

from app.api.pagination import Order, Page, PageRequest, paginate
from app.graphql.execution import Execution
from app.graphql.relay import Connection, Listed, page_of
from bookreview import queries
from bookreview.batches import newest_reviews
from bookreview.schemas import BookQuery, ReviewQuery

DateTime = NewType("DateTime", str)
DATE_TIME = strawberry.scalar(
    name="DateTime",
    description="A moment in UTC, to the microsecond, as RFC 3339 writes it.",
    specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
)
BOOK_QUERY, REVIEW_QUERY = BookQuery(), ReviewQuery()

Context = Info[Execution, Any]
Count = Callable[[], int]


def moment(value: Any) -> DateTime:
    """Write a moment as REST does."""
    return DateTime(orjson.dumps(value, option=orjson.OPT_UTC_Z).decode().strip('"'))


@strawberry.type(description="What a reader thinks of a book.")
class Review:
    """What a reader thinks of a book."""

    id: ID
    book_id: ID
    rating: int = strawberry.field(description="1 to 5.")
    reviewer: str
    text: str
    created_at: DateTime

    @classmethod
    def of(cls, row: Any) -> "Review":
        """Make it of a row."""
        return cls(
            id=ID(str(row.id)),
            book_id=ID(str(row.book_id)),
            rating=row.rating,
            reviewer=row.reviewer,
            text=row.text,
            created_at=moment(row.created_at),
        )


@dataclass
class Siblings:
    """Books that were read together, whose reviews are read together too."""

    book_ids: Sequence[int]
    width: int
    """As many as were asked for."""
    _pages: dict[int, Any] = field(default_factory=dict)

    def reviews(self, call: Execution, book_id: int, page: PageRequest) -> Page:
        """Return a page of the reviews of one of them; the first such call reads it for all."""
        if page.cursor is not None:  # good for one book alone
            call.ask_for(page.limit)
            whose = {"book_id": book_id}
            return paginate(queries.REVIEWS_OF_A_BOOK, whose, queries.NEWEST_FIRST, page)
        if page.limit not in self._pages:
            call.ask_for(self.width * page.limit)
            self._pages[page.limit] = newest_reviews(self.book_ids, page.limit + 1)
        rows = self._pages[page.limit][book_id]
        # That there is more is all that is asked: each edge writes its own cursor.
        return Page(rows[: page.limit], "more" if len(rows) > page.limit else None)


@strawberry.type(description="A book, with the sum of its reviews.")
class Book:
    """A book, with the sum of its reviews."""

    id: ID
    title: str
    author: str = strawberry.field(description="One name, or several with commas.")
    isbn: str | None = strawberry.field(description="13 digits.")
    published_year: int | None = strawberry.field(description="Negative before the common era.")
    review_count: int
    average_rating: float | None = strawberry.field(description="To two decimals.")
    created_at: DateTime
    siblings: Private[Siblings]

    @strawberry.field(description="What readers think of it, newest first.")
    def reviews(
        self, info: Context, first: int | None = 20, after: str | None = UNSET
    ) -> Connection[Review]:
        """Page through its reviews."""
        book_id = int(self.id)
        page, _ = page_of(REVIEW_QUERY, reviews_of(book_id), first, after)
        found = self.siblings.reviews(info.context, book_id, page)
        return review_connection(found, page, lambda: self.review_count)

    @classmethod
    def of(cls, row: Any, siblings: Siblings) -> "Book":
        """Make it of a row."""
        return cls(
            id=ID(str(row.id)),
            title=row.title,
            author=row.author,
            isbn=row.isbn,
            published_year=row.published_year,
            review_count=row.review_count,
            average_rating=row.average_rating,
            created_at=moment(row.created_at),
            siblings=siblings,
        )


def reviews_of(book_id: int) -> str:
    """Name the list of a book's reviews, which is one list wherever it is asked for."""
    return f"book {book_id} reviews"


def review_connection(found: Page, page: PageRequest, count: Count) -> Connection[Review]:
    """Show a page of a book's reviews."""
    listed = _listed(found, queries.NEWEST_FIRST, page, count)
    return Connection(nodes=[Review.of(row) for row in found.items], listed=listed)


def book_connection(found: Page, page: PageRequest, count: Count) -> Connection[Book]:
    """Show a page of books."""
    listed = _listed(found, queries.BY_ID, page, count)
    together = Siblings([row.id for row in found.items], page.limit)
    return Connection(nodes=[Book.of(row, together) for row in found.items], listed=listed)


def _listed(found: Page, order: Order, page: PageRequest, count: Count) -> Listed:
    return Listed(found.items, order, page, found.next_cursor is not None, cache(count))
