"""The routes of books and reviews."""

from typing import Any

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments, response
from app.api.pagination import Page
from app.auth.api_keys import scope
from app.cache.tags import cached, set_fine_tags
from bookreview import cache_tags, queries, search, services
from bookreview.schemas import (
    BookQuery,
    BookSchema,
    NewBookSchema,
    NewReviewSchema,
    ReviewQuery,
    ReviewSchema,
)

BOOKS, REVIEWS = "Books", "Reviews"
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
@response(201, BookSchema, 409, location="/books/{0.id}")
def create_book(body: dict[str, Any]) -> Any:
    """Add a book. If its ISBN already exists, the response is 409."""
    return services.add_book(**body)


@bp.get("/books/<id:book_id>", tag=BOOKS)
@cached("book:{book_id}")
@response(200, BookSchema)
def get_book(book_id: int) -> Any:
    """Get a book, with the number and the average of its ratings."""
    return queries.book(book_id)


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
@response(201, ReviewSchema, location="/reviews/{0.id}")
def create_review(book_id: int, body: dict[str, Any]) -> Any:
    """Add a review to a book, and update the book's average rating."""
    return services.add_review(book_id, **body)


@bp.get("/reviews/<id:review_id>", tag=REVIEWS)
@cached("review:{review_id}")
@response(200, ReviewSchema)
def get_review(review_id: int) -> Any:
    """Get a review."""
    return queries.review(review_id)
