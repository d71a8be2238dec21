"""GraphQL over the same queries and services as REST, and its subscription."""

import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import strawberry
from strawberry import ID, UNSET
from strawberry.schema.config import StrawberryConfig

from app.api.fields import id_of
from app.db.engine import unbegun
from app.errors import NotFound
from app.events import log as events
from app.graphql.relay import Connection, loaded, page_of
from bookreview import queries, services
from bookreview.graphql_types import (
    BOOK_QUERY,
    DATE_TIME,
    REVIEW_QUERY,
    Book,
    Context,
    DateTime,
    Review,
    Siblings,
    book_connection,
    review_connection,
    reviews_of,
)
from bookreview.schemas import NewReviewSchema

NEW_REVIEW = NewReviewSchema()


def known(book_id: ID) -> int:
    """Read the id of a book; raise NotFound for what is no id of ours, as the path of REST does."""
    found = id_of(book_id)
    if found is None:
        raise NotFound("There is no such book.")
    return found


@strawberry.type
class Query:
    """What can be read."""

    @strawberry.field(description="One book; null and the error NOT_FOUND for an unknown id.")
    def book(self, info: Context, id: ID) -> Book | None:  # noqa: A002 - the argument's name
        """Show a book."""
        info.context.ask_for(1)
        row = queries.book(known(id))
        return Book.of(row, Siblings([row.id], 1))

    @strawberry.field(description="Books, by id, that match all of the filters.")
    def books(  # noqa: PLR0917 - GraphQL gives all arguments by name
        self,
        info: Context,
        first: int | None = 20,
        after: str | None = UNSET,
        q: str | None = UNSET,
        author: str | None = UNSET,
        isbn: str | None = UNSET,
    ) -> Connection[Book]:
        """Page through the books."""
        page, filters = page_of(BOOK_QUERY, "books", first, after, q=q, author=author, isbn=isbn)
        info.context.ask_for(page.limit)
        found = queries.books(page, **filters)
        return book_connection(found, page, lambda: queries.count_books(**filters))

    @strawberry.field(description="A book's reviews, newest first.")
    def reviews(
        self, info: Context, book_id: ID, first: int | None = 20, after: str | None = UNSET
    ) -> Connection[Review]:
        """Page through a book's reviews."""
        whose = known(book_id)
        page, _ = page_of(REVIEW_QUERY, reviews_of(whose), first, after)
        info.context.ask_for(page.limit)
        found = queries.reviews(whose, page)
        return review_connection(found, page, lambda: queries.count_reviews(whose))

    @strawberry.field(
        description="Where the events stand now: subscribe with it as `after`, and miss nothing "
        "that comes after this answer."
    )
    def event_cursor(self) -> str:
        """Say where the log of events stands."""
        head = events.head(unbegun())
        return events.cursor_of(head.log, head.position)


@strawberry.type
class Mutation:
    """What can be written."""

    @strawberry.mutation(
        description="Add a review to a book, and count it into the book's average. Where keys "
        "are required it needs one with the scope reviews:write."
    )
    def add_review(
        self, info: Context, book_id: ID, rating: int, reviewer: str, text: str
    ) -> Review:
        """Add a review."""
        with info.context.writing("reviews:write"):
            whose = known(book_id)
            words = {"rating": rating, "reviewer": reviewer, "text": text}
            return Review.of(services.add_review(whose, **loaded(NEW_REVIEW, words)))


@strawberry.type(description="A new review, and its place among all events.")
class ReviewEvent:
    """A new review, and its place among all events."""

    cursor: str = strawberry.field(description="Subscribe with it as `after` to go on from here.")
    review: Review


@strawberry.type
class Subscription:
    """What can be followed."""

    @strawberry.subscription(
        description="New reviews, of one book or of all, in the order of their commits. `after` "
        "is a cursor of an event: what came after it comes first."
    )
    async def review_added(
        self, book_id: ID | None = UNSET, after: str | None = UNSET
    ) -> AsyncGenerator[ReviewEvent, None]:
        """Declare the field: whoever carries events executes it for each, which is its root."""
        raise NotImplementedError
        yield  # type: ignore[unreachable]  # makes it the generator that it has to be


def review_event(log: str, event: events.Event) -> ReviewEvent:
    """Make the root value of ``reviewAdded`` for an event of ``log``."""
    told: Mapping[str, Any] = json.loads(event.payload)
    review = Review(
        id=ID(str(told["id"])),
        book_id=ID(str(told["book_id"])),
        rating=told["rating"],
        reviewer=told["reviewer"],
        text=told["text"],
        created_at=DateTime(told["created_at"]),
    )
    return ReviewEvent(cursor=events.cursor_of(log, event.position), review=review)


class NewReviews:
    """What ``reviewAdded`` follows."""

    def topic(self, arguments: Mapping[str, Any]) -> str | None:
        """Name the reviews of one book, or all."""
        whose = arguments.get("bookId")
        return None if whose is None else services.topic_of(known(whose))

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise NotFound for an unknown book."""
        whose = arguments.get("bookId")
        if whose is not None:
            queries.book(known(whose))

    def root(self, log: str, event: events.Event) -> ReviewEvent:
        """Make what an event is executed on."""
        return review_event(log, event)


schema = strawberry.Schema(
    Query, Mutation, Subscription, config=StrawberryConfig(scalar_map={DateTime: DATE_TIME})
)._schema
