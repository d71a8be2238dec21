"""The routes of books and reviews."""

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments, may_write, response
from app.api.pagination import Page
from app.auth.api_keys import scope
from app.auth.guard import has_key_for
from app.cache.tags import cached, set_fine_tags
from app.http.preconditions import if_match
from app.http.request import ENVIRON
from bookreview import cache_tags, queries, search, services
from bookreview.schemas import (
    BookChangeSchema,
    BookQuery,
    BookSchema,
    NewBookSchema,
    NewReviewSchema,
    ReviewChangeSchema,
    ReviewDetailsSchema,
    ReviewQuery,
    ReviewSchema,
)

BOOKS, REVIEWS = "Books", "Reviews"
MODERATE = "reviews:moderate"
bp = ApiBlueprint(
    "bookreview",
    __name__,
    tags={
        BOOKS: "Books, with the number and the average of their ratings.",
        REVIEWS: "What readers say about a book, with one to five stars.",
    },
)


@bp.get("/books", tag=BOOKS)
@cached(cache_tags.BOOKS)
@arguments(BookQuery)
@response(200, BookSchema, paged=True)
def list_books(query: dict[str, Any]) -> Page:
    """List books.

    If `q` and `author` have no three consecutive letters or digits, a page may have fewer items
    than its limit, even none: continue as long as there is a `next_cursor`.
    """
    books = search.books(**query)
    set_fine_tags(cache_tags.fine_tags(books, query))
    return books


@bp.post("/books", tag=BOOKS)
@scope("books:write")
@arguments(NewBookSchema)
@response(201, BookSchema, 409, location="/books/{0.id}", version_etag=True)
def create_book(body: dict[str, Any]) -> Any:
    """Add a book. If its ISBN already exists, the response is 409."""
    return services.add_book(**body)


@bp.get("/books/<id:book_id>", tag=BOOKS)
@cached("book:{book_id}")
@response(200, BookSchema, version_etag=True)
def get_book(book_id: int) -> Any:
    """Get a book, with the number and the average of its ratings."""
    return queries.book(book_id)


@bp.patch("/books/<id:book_id>", tag=BOOKS)
@scope("books:write")
@arguments(BookChangeSchema)
@if_match
@response(200, BookSchema, 409, version_etag=True)
def update_book(book_id: int, body: dict[str, Any], versions: services.Versions) -> Any:
    """Correct a book. If another one has the ISBN, the response is 409.

    With If-Match, it is 412 if the book or one of its reviews has changed since its ETag was read.
    """
    return services.update_book(book_id, versions, **body)


@bp.delete("/books/<id:book_id>", tag=BOOKS)
@scope("books:write")
@if_match
@response(204, None, 409)
def delete_book(book_id: int, versions: services.Versions) -> None:
    """Delete a book. If it has reviews, the response is 409; hidden ones count too."""
    services.delete_book(book_id, versions)


@bp.get("/books/<id:book_id>/reviews", tag=REVIEWS)
@cached("book:{book_id}:reviews")
@arguments(ReviewQuery)
@response(200, ReviewSchema, paged=True)
def list_reviews(book_id: int, query: dict[str, Any]) -> Page:
    """List a book's reviews."""
    return queries.reviews(book_id, **query)


@bp.post("/books/<id:book_id>/reviews", tag=REVIEWS)
@scope("reviews:write")
@arguments(NewReviewSchema)
@response(201, ReviewSchema, location="/reviews/{0.id}", version_etag=True)
def create_review(book_id: int, body: dict[str, Any]) -> Any:
    """Add a review to a book, and update the book's average rating."""
    return services.add_review(book_id, **body)


@bp.get("/reviews/<id:review_id>", tag=REVIEWS)
@cached("review:{review_id}", unless_scope=MODERATE)
@response(200, ReviewDetailsSchema, version_etag=True)
def get_review(review_id: int) -> Any:
    """Get a review. A hidden one is a 404 without an API key that has reviews:moderate."""
    return queries.review(review_id, sees_hidden=has_key_for(ENVIRON.get(), MODERATE))


@bp.patch("/reviews/<id:review_id>", tag=REVIEWS)
@scope("reviews:write", hidden=MODERATE)
@arguments(ReviewChangeSchema)
@if_match
@response(200, ReviewDetailsSchema, version_etag=True)
def update_review(review_id: int, body: dict[str, Any], versions: services.Versions) -> Any:
    """Correct the rating or the text of a review, hide it, or show it again.

    `hidden` alone needs the scope reviews:moderate instead of reviews:write. A hidden review is
    in no list, no count and no average, and without that scope each request for it is a 404. With
    If-Match, the response is 412 if the review has changed since its ETag was read.
    """
    return services.update_review(review_id, versions, sees_hidden=may_write(MODERATE), **body)


@bp.delete("/reviews/<id:review_id>", tag=REVIEWS)
@scope("reviews:write")
@if_match
@response(204, None)
def delete_review(review_id: int, versions: services.Versions) -> None:
    """Delete a review, and update the book's average rating."""
    services.delete_review(review_id, versions, sees_hidden=may_write(MODERATE))
