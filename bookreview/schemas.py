"""The shapes of books and reviews on the wire."""

from marshmallow import Schema, fields

from app.api.fields import ID_MAX, Text, Whole
from app.api.pagination import PageQuery
from bookreview.isbn import Isbn
from bookreview.models import (
    AUTHOR_MAX,
    REVIEWER_MAX,
    TEXT_MAX,
    TITLE_MAX,
    YEAR_MAX,
    YEAR_MIN,
)

PART_MAX = 200
"""What is searched for: both parts together fit into an address, whatever their letters."""


class NewBookSchema(Schema):
    """A book to be added."""

    title = Text(TITLE_MAX, required=True)
    author = Text(
        AUTHOR_MAX, required=True, metadata={"description": "One name, or several with commas."}
    )
    isbn = Isbn(
        load_default=None,
        allow_none=True,
        metadata={"description": "ISBN-10 or -13, hyphens allowed.", "examples": ["0-439-02348-3"]},
    )
    published_year = Whole(
        YEAR_MIN,
        YEAR_MAX,
        load_default=None,
        allow_none=True,
        metadata={"description": "Negative before the common era."},
    )


class BookSchema(Schema):
    """A book, with the sum of its reviews."""

    id = Whole(1, ID_MAX, required=True)
    title = fields.String(required=True)
    author = fields.String(required=True)
    isbn = fields.String(
        required=True, allow_none=True, metadata={"description": "13 digits, or null."}
    )
    published_year = fields.Integer(required=True, allow_none=True)
    review_count = fields.Integer(required=True)
    average_rating = fields.Float(
        required=True, allow_none=True, metadata={"description": "To two decimals, or null."}
    )
    created_at = fields.AwareDateTime(required=True)


class BookQuery(PageQuery):
    """Which books."""

    q = Text(PART_MAX, metadata={"description": "Part of title or author."})
    author = Text(PART_MAX, metadata={"description": "Part of the author."})
    isbn = Isbn(metadata={"description": "ISBN-10 or -13."})


class NewReviewSchema(Schema):
    """A review to be added."""

    rating = Whole(1, 5, required=True)
    reviewer = Text(REVIEWER_MAX, required=True, metadata={"description": "A name to show."})
    text = Text(TEXT_MAX, lines=True, required=True)


class ReviewSchema(Schema):
    """What a reader thinks of a book."""

    id = Whole(1, ID_MAX, required=True)
    book_id = Whole(1, ID_MAX, required=True)
    rating = Whole(1, 5, required=True)
    reviewer = fields.String(required=True)
    text = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class ReviewQuery(PageQuery):
    """Which reviews: a page of them."""
