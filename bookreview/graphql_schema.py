"""The GraphQL queries and subscriptions of books and reviews, over the queries of REST."""

from collections.abc import AsyncGenerator, Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import orjson
import strawberry
from strawberry import ID, UNSET

from app.events import log as events
from app.graphql.relay import Connection, page_request
from app.graphql.schema import GraphQLInfo
from app.graphql.subscriptions import Followed, SubscriptionField
from app.services import current_services
from bookreview import queries, search
from bookreview.cache_tags import reviews_topic
from bookreview.graphql_types import (
    BOOK_QUERY,
    REVIEW_QUERY,
    Book,
    BookBatch,
    Review,
    all_reviews_connection,
    book_connection,
    parse_book_id,
    review_connection,
    review_list_name,
)

REVIEW_CREATED = "review.created"


@strawberry.type
class Query:
    """The queries."""

    @strawberry.field(description="One book; null, with the error NOT_FOUND, for an unknown id.")
    def book(self, info: GraphQLInfo, id: ID) -> Book | None:  # noqa: A002 - the argument's name
        info.context.charge_nodes(1)
        row = queries.book(parse_book_id(id))
        return Book.of(row, BookBatch([row.id], 1))

    @strawberry.field(
        description="The books that match all filters, ordered by `sort`: `id`, or `title`, "
        "`author`, `published_year`, `average_rating` or `review_count`, each also with a leading "
        "minus for descending order. Books without the key come last."
    )
    def books(  # noqa: PLR0917 - GraphQL passes all arguments by name
        self,
        info: GraphQLInfo,
        first: int | None = 20,
        after: str | None = UNSET,
        q: str | None = UNSET,
        author: str | None = UNSET,
        isbn: str | None = UNSET,
        sort: str | None = UNSET,
        min_rating: float | None = UNSET,
        year_from: int | None = UNSET,
        year_to: int | None = UNSET,
    ) -> Connection[Book]:
        filters = {"q": q, "author": author, "isbn": isbn, "min_rating": min_rating}
        filters |= {"year_from": year_from, "year_to": year_to}
        page, query = page_request(BOOK_QUERY, "books", first, after, sort=sort, **filters)
        info.context.charge_nodes(page.limit)
        found = search.books(page, **query)
        order = search.ORDERS[query["sort"]]
        return book_connection(found, order, page, lambda: search.count_books(**query))

    @strawberry.field(
        description="The reviews of a book, newest first; without `bookId` those of all books, "
        "in the order in which they were added, the last one first."
    )
    def reviews(
        self,
        info: GraphQLInfo,
        book_id: ID | None = UNSET,
        first: int | None = 20,
        after: str | None = UNSET,
    ) -> Connection[Review]:
        if book_id is None or book_id is UNSET:
            page, _ = page_request(REVIEW_QUERY, "reviews", first, after)
            info.context.charge_nodes(page.limit)
            return all_reviews_connection(queries.all_reviews(page), page)
        parsed_id = parse_book_id(book_id)
        page, _ = page_request(REVIEW_QUERY, review_list_name(parsed_id), first, after)
        info.context.charge_nodes(page.limit)
        found = queries.reviews(parsed_id, page)
        title = cache(lambda: queries.book(parsed_id).title)
        return review_connection(found, page, lambda: queries.count_reviews(parsed_id), title)

    @strawberry.field(
        description="The cursor of the newest event: subscribe with it as `after` to get every "
        "later event."
    )
    def event_cursor(self) -> str:
        head = current_services().sequencer.head()
        return events.format_cursor(head.log, head.position)


@strawberry.type(description="A new review, with its position in the event log.")
class ReviewEvent:
    """A new review, with its position in the event log."""

    cursor: str = strawberry.field(description="Pass it as `after` to get only later events.")
    review: Review


@strawberry.type
class Subscription:
    """The subscriptions."""

    @strawberry.subscription(
        description="New reviews, of one book or of all, in the order of their commits. `after` "
        "is the cursor of an event: the subscription starts with the events that followed it."
    )
    async def review_added(
        self, book_id: ID | None = UNSET, after: str | None = UNSET
    ) -> AsyncGenerator[ReviewEvent, None]:
        """Declare the field only: app/live executes it for each event, with the event as root."""
        raise NotImplementedError
        yield  # type: ignore[unreachable]  # makes this an async generator


def review_event(log: str, event: events.Event) -> ReviewEvent:
    """Return the root value of ``reviewAdded`` for an event of ``log``."""
    title = orjson.loads(event.context).get("book_title")
    review = Review.of(SimpleNamespace(**orjson.loads(event.data)), lambda: title)
    return ReviewEvent(cursor=events.format_cursor(log, event.position), review=review)


def follow_reviews(arguments: Mapping[str, Any]) -> Followed:
    """Return what ``reviewAdded`` follows: the reviews of one book, or of all."""
    if (book_id := arguments.get("bookId")) is None:
        return Followed(None, frozenset([REVIEW_CREATED]))
    parsed_id = parse_book_id(book_id)
    topic = reviews_topic(parsed_id)
    return Followed(topic, frozenset([topic]), partial(queries.book, parsed_id))


REVIEW_ADDED = SubscriptionField(follow_reviews, review_event)
