"""The GraphQL mutations, through the same services as the writes of REST."""

import strawberry
from strawberry import ID, UNSET

from app.graphql.relay import load_arguments
from app.graphql.schema import GraphQLInfo
from bookreview import queries, services
from bookreview.graphql_types import (
    Book,
    BookBatch,
    Review,
    parse_book_id,
    parse_review_id,
)
from bookreview.schemas import BookChangeSchema, NewReviewSchema, ReviewChangeSchema

NEW_REVIEW, REVIEW_CHANGE = NewReviewSchema(), ReviewChangeSchema()
BOOK_CHANGE = BookChangeSchema()
WRITE_BOOKS, WRITE_REVIEWS, MODERATE = "books:write", "reviews:write", "reviews:moderate"
IF_VERSION = "With `ifVersion`, another version is the error PRECONDITION_FAILED."


def _versions(if_version: int | None) -> services.Versions:
    return None if if_version is None else {str(if_version)}


@strawberry.type
class Mutation:
    """The mutations."""

    @strawberry.mutation(
        description="Add a review and update the book's average rating. Where API keys are "
        "required, the key needs the scope reviews:write."
    )
    def add_review(
        self, info: GraphQLInfo, book_id: ID, rating: int, reviewer: str, text: str
    ) -> Review:
        with info.context.writing(WRITE_REVIEWS):
            parsed_id = parse_book_id(book_id)
            fields = {"rating": rating, "reviewer": reviewer, "text": text}
            added = services.add_review(parsed_id, **load_arguments(NEW_REVIEW, fields))
            return Review.of(added, lambda: queries.book(parsed_id).title)

    @strawberry.mutation(
        description="Correct a book: omitted fields stay, null removes an ISBN or a year. Where "
        f"API keys are required, the key needs the scope {WRITE_BOOKS}. {IF_VERSION}"
    )
    def update_book(  # noqa: PLR0917 - GraphQL passes all arguments by name
        self,
        info: GraphQLInfo,
        id: ID,  # noqa: A002 - the argument's name
        title: str | None = UNSET,
        author: str | None = UNSET,
        isbn: str | None = UNSET,
        published_year: int | None = UNSET,
        if_version: int | None = None,
    ) -> Book:
        fields = {"title": title, "author": author, "isbn": isbn, "published_year": published_year}
        with info.context.writing(WRITE_BOOKS):
            changes = load_arguments(BOOK_CHANGE, fields, null_is_omitted=False)
            row = services.update_book(parse_book_id(id), _versions(if_version), **changes)
            return Book.of(row, BookBatch([row.id], 1))

    @strawberry.mutation(
        description="Delete a book that has no reviews, hidden ones included, and return its id. "
        f"The scope is {WRITE_BOOKS}. {IF_VERSION}"
    )
    def delete_book(
        self,
        info: GraphQLInfo,
        id: ID,  # noqa: A002 - the argument's name
        if_version: int | None = None,
    ) -> ID:
        with info.context.writing(WRITE_BOOKS):
            services.delete_book(parse_book_id(id), _versions(if_version))
            return id

    @strawberry.mutation(
        description="Correct a review, hide it or show it again: omitted fields stay. The scope is "
        f"{WRITE_REVIEWS}, and for `hidden` {MODERATE}. {IF_VERSION}"
    )
    def update_review(  # noqa: PLR0917 - GraphQL passes all arguments by name
        self,
        info: GraphQLInfo,
        id: ID,  # noqa: A002 - the argument's name
        rating: int | None = UNSET,
        text: str | None = UNSET,
        hidden: bool | None = UNSET,
        if_version: int | None = None,
    ) -> Review:
        fields = {"rating": rating, "text": text, "hidden": hidden}
        given = {name for name, value in fields.items() if value is not UNSET}
        scopes = {MODERATE if name == "hidden" else WRITE_REVIEWS for name in given}
        with info.context.writing(*sorted(scopes or {WRITE_REVIEWS})):
            changes = load_arguments(REVIEW_CHANGE, fields, null_is_omitted=False)
            row = services.update_review(
                parse_review_id(id),
                _versions(if_version),
                sees_hidden=info.context.may_write(MODERATE),
                **changes,
            )
            return Review.of(row, lambda: queries.book(row.book_id).title)

    @strawberry.mutation(
        description="Delete a review, update the book's average rating, and return the id. The "
        f"scope is {WRITE_REVIEWS}. {IF_VERSION}"
    )
    def delete_review(
        self,
        info: GraphQLInfo,
        id: ID,  # noqa: A002 - the argument's name
        if_version: int | None = None,
    ) -> ID:
        with info.context.writing(WRITE_REVIEWS):
            sees_hidden = info.context.may_write(MODERATE)
            versions = _versions(if_version)
            services.delete_review(parse_review_id(id), versions, sees_hidden=sees_hidden)
            return id
