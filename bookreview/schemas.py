"""The schemas of books and reviews in requests and responses."""

from marshmallow import Schema, fields

from app.api.fields import ID_MAX, BoundedInteger, CleanText
from app.api.pagination import PageQuery
from bookreview.isbn import Isbn
from bookreview.models import AUTHOR_MAX, REVIEWER_MAX, TEXT_MAX, TITLE_MAX, YEAR_MAX, YEAR_MIN

SEARCH_TEXT_MAX = 200
"""Characters of a search text: two of them fit into a URL, even when percent-encoded."""


class NewBookSchema(Schema):
    """A book to add."""

    title = CleanText(TITLE_MAX, required=True, metadata={"examples": ["The Hunger Games"]})
    author = CleanText(
        AUTHOR_MAX,
        required=True,
        metadata={
            "description": "One name, or several separated by commas.",
            "examples": ["Suzanne Collins"],
        },
    )
    isbn = Isbn(
        load_default=None,
        allow_none=True,
        metadata={
            "description": "ISBN-10 or ISBN-13, with or without dashes and spaces.",
            "examples": ["0-439-02348-3"],
        },
    )
    published_year = BoundedInteger(
        YEAR_MIN,
        YEAR_MAX,
        load_default=None,
        allow_none=True,
        metadata={
            "description": "Negative for years before the common era.",
            "examples": [2008],
        },
    )


class BookSchema(Schema):
    """A book, with the number and the average of its ratings."""

    id = BoundedInteger(1, ID_MAX, required=True)
    title = fields.String(required=True)
    author = fields.String(required=True)
    isbn = fields.String(
        required=True,
        allow_none=True,
        metadata={"description": "ISBN-13 without hyphens, or null."},
    )
    published_year = fields.Integer(required=True, allow_none=True)
    review_count = fields.Integer(required=True)
    average_rating = fields.Float(
        required=True,
        allow_none=True,
        metadata={"description": "Rounded to two decimals; null without reviews."},
    )
    created_at = fields.AwareDateTime(required=True)


class BookQuery(PageQuery):
    """Filters for books, and a page of them."""

    q = CleanText(
        SEARCH_TEXT_MAX,
        metadata={
            "description": "Only books whose title or author contains this text, in any case."
        },
    )
    author = CleanText(
        SEARCH_TEXT_MAX,
        metadata={"description": "Only books whose author contains this text, in any case."},
    )
    isbn = Isbn(
        metadata={
            "description": "Only the book with this ISBN: 10 or 13 digits, as for a new book."
        }
    )


class NewReviewSchema(Schema):
    """A review to add."""

    rating = BoundedInteger(1, 5, required=True, metadata={"examples": [5]})
    reviewer = CleanText(
        REVIEWER_MAX,
        required=True,
        metadata={"description": "The name to display.", "examples": ["Ana"]},
    )
    text = CleanText(
        TEXT_MAX, multiline=True, required=True, metadata={"examples": ["Read in one night."]}
    )


class ReviewSchema(Schema):
    """A reader's review of a book."""

    id = BoundedInteger(1, ID_MAX, required=True)
    book_id = BoundedInteger(1, ID_MAX, required=True)
    rating = BoundedInteger(1, 5, required=True)
    reviewer = fields.String(required=True)
    text = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)
