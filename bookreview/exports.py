"""The exports of books and reviews, by id."""

from typing import Any

from marshmallow import fields
from sqlalchemy import select
from sqlalchemy.sql import Select

from app.api.blueprint import ApiBlueprint
from app.api.contract import arguments
from app.export.routes import ExportQuery, export
from bookreview.models import RATINGS, Book, Review
from bookreview.queries import BOOK_COLUMNS, REVIEW_COLUMNS, STARS, VISIBLE
from bookreview.schemas import BookSchema, ReviewSchema
from bookreview.views import BOOKS, REVIEWS

EACH_STAR = tuple(getattr(Book, f"stars_{rating}").label(f"stars.{rating}") for rating in RATINGS)
PLAIN_COLUMNS = (column for column in BOOK_COLUMNS if column is not STARS)
ALL_BOOKS = select(*PLAIN_COLUMNS, Book.source_id, *EACH_STAR).order_by(Book.id)
ALL_REVIEWS = select(*REVIEW_COLUMNS, Review.source_id).where(VISIBLE).order_by(Review.id)
bp = ApiBlueprint("bookreview_exports", __name__, tags={})


def _source_id() -> fields.Field[Any]:
    text = "The id in the file that it was loaded from."
    return fields.String(required=True, allow_none=True, metadata={"description": text})


class ExportedBookSchema(BookSchema):
    """A book in an export."""

    source_id = _source_id()


class ExportedReviewSchema(ReviewSchema):
    """A review in an export."""

    source_id = _source_id()


@bp.get("/books/export", tag=BOOKS)
@arguments(ExportQuery)
@export(ExportedBookSchema)
def export_books() -> Select[*tuple[Any, ...]]:
    """Export all books, by id, as NDJSON or CSV."""
    return ALL_BOOKS


@bp.get("/reviews/export", tag=REVIEWS)
@arguments(ExportQuery)
@export(ExportedReviewSchema)
def export_reviews() -> Select[*tuple[Any, ...]]:
    """Export all reviews but the hidden ones, by id, as NDJSON or CSV."""
    return ALL_REVIEWS
