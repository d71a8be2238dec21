"""The schemas of books and reviews in requests and responses."""

import re
from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.api.fields import ID_MAX, BoundedInteger, ChangeSchema, CleanText, StrictBoolean
from app.api.pagination import PageQuery
from bookreview.isbn import Isbn
from bookreview.models import (
    AUTHOR_MAX,
    RATINGS,
    REVIEWER_MAX,
    TEXT_MAX,
    TITLE_MAX,
    YEAR_MAX,
    YEAR_MIN,
)
from bookreview.queries import REVIEW_ORDERS
from bookreview.search import ORDERS

Metadata = dict[str, Any]
SEARCH_TEXT_MAX = 200
"""Characters of a search text: two of them fit into a URL, even when percent-encoded."""
AVERAGE = r"^([1-4](\.[0-9]{1,2})?|5(\.00?)?)$"


TITLE: Metadata = {"examples": ["The Hunger Games"]}
AUTHOR: Metadata = {
    "description": "One name, or several separated by commas.",
    "examples": ["Suzanne Collins"],
}
ISBN: Metadata = {
    "description": "ISBN-10 or ISBN-13, with or without dashes and spaces.",
    "examples": ["0-439-02348-3"],
}
YEAR: Metadata = {
    "description": "Negative for years before the common era.",
    "examples": [2008],
}
RATING: Metadata = {"examples": [5]}
TEXT: Metadata = {"examples": ["Read in one night."]}


class NewBookSchema(Schema):
    """A book to add."""

    title = CleanText(TITLE_MAX, required=True, metadata=TITLE)
    author = CleanText(AUTHOR_MAX, required=True, metadata=AUTHOR)
    isbn = Isbn(load_default=None, allow_none=True, metadata=ISBN)
    published_year = BoundedInteger(
        YEAR_MIN, YEAR_MAX, load_default=None, allow_none=True, metadata=YEAR
    )


class BookChangeSchema(ChangeSchema):
    """New values of a book; the others stay. Null removes an ISBN or a year."""

    title = CleanText(TITLE_MAX, metadata=TITLE)
    author = CleanText(AUTHOR_MAX, metadata=AUTHOR)
    # Not that of the new book: whoever tries both examples would get a 409.
    isbn = Isbn(allow_none=True, metadata={**ISBN, "examples": ["978-0-439-02352-8"]})
    published_year = BoundedInteger(YEAR_MIN, YEAR_MAX, allow_none=True, metadata=YEAR)


StarsSchema = Schema.from_dict(
    {
        str(rating): fields.Integer(
            required=True,
            metadata={"minimum": 0, "description": f"The number of reviews with {rating} of 5."},
        )
        for rating in RATINGS
    },
    name="StarsSchema",
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
    stars = fields.Nested(
        StarsSchema,
        required=True,
        metadata={"description": "How many reviews have each rating."},
    )
    created_at = fields.AwareDateTime(required=True)


class AverageRating(fields.Field[float]):
    """An average of ratings in a query: 1 to 5, with at most two decimals."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs["metadata"] = {"type": "string", "pattern": AVERAGE, **kwargs["metadata"]}
        super().__init__(**kwargs)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> float:
        text = str(value)  # GraphQL has read it as a number
        if not re.fullmatch(AVERAGE, text):
            raise ValidationError("Not a rating from 1 to 5 with at most two decimals.")
        return float(text)


class BookQuery(PageQuery):
    """The order of books, filters for them, and a page of them."""

    sort = fields.String(
        load_default="id",
        validate=validate.OneOf(list(ORDERS)),
        metadata={
            "description": "The sort key; with a leading minus in descending order. Books without "
            "a year or a rating come last in both directions."
        },
    )

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
    min_rating = AverageRating(
        metadata={
            "description": "Only books with at least this average rating.",
            "examples": ["4.5"],
        }
    )
    year_from = BoundedInteger(
        YEAR_MIN, YEAR_MAX, metadata={"description": "Only books of this year or later."}
    )
    year_to = BoundedInteger(
        YEAR_MIN, YEAR_MAX, metadata={"description": "Only books of this year or earlier."}
    )

    @validates_schema
    def check_years(self, data: dict[str, Any], **_: Any) -> None:
        if data.get("year_to", YEAR_MAX) < data.get("year_from", YEAR_MIN):
            raise ValidationError("Must not be less than year_from.", "year_to")


class NewReviewSchema(Schema):
    """A review to add."""

    rating = BoundedInteger(1, 5, required=True, metadata=RATING)
    reviewer = CleanText(
        REVIEWER_MAX,
        required=True,
        metadata={"description": "The name to display.", "examples": ["Ana"]},
    )
    text = CleanText(TEXT_MAX, multiline=True, required=True, metadata=TEXT)


class ReviewChangeSchema(ChangeSchema):
    """New values of a review; the others stay. `hidden` needs the scope reviews:moderate."""

    rating = BoundedInteger(1, 5, metadata=RATING)
    text = CleanText(TEXT_MAX, multiline=True, metadata=TEXT)
    hidden = StrictBoolean(
        metadata={
            "description": "Whether the review is in no list, no count and no average.",
            "examples": [False],
        }
    )


class ReviewSchema(Schema):
    """A reader's review of a book."""

    id = BoundedInteger(1, ID_MAX, required=True)
    book_id = BoundedInteger(1, ID_MAX, required=True)
    rating = BoundedInteger(1, 5, required=True)
    reviewer = fields.String(required=True)
    text = fields.String(required=True)
    created_at = fields.AwareDateTime(required=True)


class ReviewDetailsSchema(ReviewSchema):
    """A reader's review of a book, which may be hidden."""

    hidden = fields.Boolean(
        metadata={
            "const": True,
            "description": "Only hidden reviews have it, which only moderators can see.",
        }
    )


class ReviewQuery(PageQuery):
    """The order of the reviews of a book, filters for them, and a page of them."""

    sort = fields.String(
        load_default="newest",
        validate=validate.OneOf(list(REVIEW_ORDERS)),
        metadata={
            "description": "`highest` and `lowest` sort by rating; of equal ones, the newest come "
            "first in `highest`, and the oldest in `lowest`."
        },
    )
    rating = BoundedInteger(1, 5, metadata={"description": "Only reviews with this rating."})
    min_rating = BoundedInteger(
        1, 5, metadata={"description": "Only reviews with at least this rating."}
    )
