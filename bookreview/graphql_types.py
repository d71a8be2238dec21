"""The GraphQL types: books, reviews, and connections of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import orjson
import strawberry
from strawberry import ID, UNSET, Private

from app.api.pagination import Page, PageQuery, PageRequest, SortOrder, paginate
from app.graphql.execution import Execution
from app.graphql.relay import Connection, ResultPage, page_request
from app.graphql.schema import DateTime, GraphQLInfo, parse_node_id, to_datetime
from bookreview import queries
from bookreview.schemas import BookQuery

BOOK_QUERY, REVIEW_QUERY = BookQuery(), PageQuery()

Count = Callable[[], int]
Title = Callable[[], str | None]
"""Returns the title of a book, with a statement of its own only if it is requested."""


def parse_book_id(book_id: ID) -> int:
    """Return the id of a book; raise NotFound for an invalid id, as REST does."""
    return parse_node_id(book_id, "book")


def parse_review_id(review_id: ID) -> int:
    """Return the id of a review; raise NotFound for an invalid id, as REST does."""
    return parse_node_id(review_id, "review")


@strawberry.type(description="A reader's review of a book.")
class Review:
    """A reader's review of a book."""

    id: ID
    book_id: ID
    rating: int = strawberry.field(description="1 to 5.")
    reviewer: str
    text: str
    created_at: DateTime
    version: int = strawberry.field(description="Rises with every change.")
    hidden: bool = strawberry.field(
        description="Only the mutations of a moderator return a hidden review."
    )
    title: Private[Title]

    @strawberry.field(
        description="The title of the reviewed book; null in events that an older release wrote."
    )
    def book_title(self) -> str | None:
        return self.title()

    @classmethod
    def of(cls, row: Any, title: Title) -> "Review":
        """Create it from a row, or from the payload of an event."""
        return cls(
            id=ID(str(row.id)),
            book_id=ID(str(row.book_id)),
            rating=row.rating,
            reviewer=row.reviewer,
            text=row.text,
            created_at=to_datetime(row.created_at),
            # An event is about a new review, and lists have visible ones only.
            version=getattr(row, "version", 1),
            hidden=bool(getattr(row, "hidden", False)),
            title=title,
        )


@dataclass
class BookBatch:
    """Books that were read together; their reviews are read in one statement, too."""

    book_ids: Sequence[int]
    width: int
    """The number of requested books."""
    _pages: dict[int, Any] = field(default_factory=dict)

    def reviews(self, execution: Execution, book_id: int, page: PageRequest) -> Page:
        """Return a page of one book's reviews; the first call reads first pages for all books."""
        if page.cursor is not None:  # a cursor belongs to one book
            execution.charge_nodes(page.limit)
            values = {"book_id": book_id}
            return paginate(queries.REVIEWS_OF_A_BOOK, values, queries.NEWEST_FIRST, page)
        if page.limit not in self._pages:
            execution.charge_nodes(self.width * page.limit)
            self._pages[page.limit] = queries.newest_reviews(self.book_ids, page.limit + 1)
        rows = self._pages[page.limit][book_id]
        # Only whether there is a next page matters here: each edge has its own cursor.
        return Page(rows[: page.limit], "more" if len(rows) > page.limit else None)


@strawberry.type(description="How many reviews of a book have one rating.")
class StarCount:
    """How many reviews of a book have one rating."""

    rating: int = strawberry.field(description="1 to 5.")
    count: int


@strawberry.type(description="A book and its reviews.")
class Book:
    """A book and its reviews."""

    id: ID
    title: str
    author: str = strawberry.field(description="One name, or several separated by commas.")
    isbn: str | None = strawberry.field(description="13 digits.")
    published_year: int | None = strawberry.field(description="Negative for years BCE.")
    review_count: int
    average_rating: float | None = strawberry.field(
        description="To two decimals; null without reviews."
    )
    stars: list[StarCount] = strawberry.field(
        description="How many reviews have each rating, from 1 to 5."
    )
    created_at: DateTime
    version: int = strawberry.field(
        description="Rises with every change of the book and of its ratings."
    )
    batch: Private[BookBatch]

    @strawberry.field(description="The reviews of the book, newest first.")
    def reviews(
        self, info: GraphQLInfo, first: int | None = 20, after: str | None = UNSET
    ) -> Connection[Review]:
        book_id = int(self.id)
        page, _ = page_request(REVIEW_QUERY, review_list_name(book_id), first, after)
        found = self.batch.reviews(info.context, book_id, page)
        return review_connection(found, page, lambda: self.review_count, lambda: self.title)

    @classmethod
    def of(cls, row: Any, batch: BookBatch) -> "Book":
        return cls(
            id=ID(str(row.id)),
            title=row.title,
            author=row.author,
            isbn=row.isbn,
            published_year=row.published_year,
            review_count=row.review_count,
            average_rating=row.average_rating,
            stars=[
                StarCount(rating=int(rating), count=count)
                for rating, count in orjson.loads(orjson.dumps(row.stars)).items()
            ],
            created_at=to_datetime(row.created_at),
            version=row.version,
            batch=batch,
        )


def review_list_name(book_id: int) -> str:
    """Name the list of a book's reviews: its cursors are valid in all fields that return it."""
    return f"book {book_id} reviews"


def review_connection(
    found: Page, page: PageRequest, count: Count, title: Title
) -> Connection[Review]:
    """Return the connection for a page of one book's reviews."""
    result_page = ResultPage(found, queries.NEWEST_FIRST, page, cache(count))
    return Connection(nodes=[Review.of(row, title) for row in found.items], page=result_page)


def all_reviews_connection(found: Page, page: PageRequest) -> Connection[Review]:
    """Return the connection for a page of all reviews."""
    count = cache(queries.count_all_reviews)
    result_page = ResultPage(found, queries.LAST_ADDED_FIRST, page, count)
    # partial, not a lambda: that would return the title of the last row for all.
    nodes = [Review.of(row, partial(getattr, row, "book_title")) for row in found.items]
    return Connection(nodes=nodes, page=result_page)


def book_connection(
    found: Page, order: SortOrder, page: PageRequest, count: Count
) -> Connection[Book]:
    """Return the connection for a page of books."""
    result_page = ResultPage(found, order, page, cache(count))
    batch = BookBatch([row.id for row in found.items], page.limit)
    return Connection(nodes=[Book.of(row, batch) for row in found.items], page=result_page)
