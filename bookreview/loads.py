"""Loads of books and reviews from CSV files: fields, keys and derived values."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any

import orjson
from sqlalchemy import select

from app.api.fields import ID_MAX, BoundedInteger
from app.db.engine import fetch_all
from app.db.types import now
from app.extensions import db
from app.loading.cells import parse_identifier
from app.loading.columns import Identifier, Rfc3339DateTime
from app.loading.csv_files import Row
from app.loading.files import LoadError
from app.loading.loader import ID, LoadSpec, Written
from app.loading.upsert import Change, upsert
from bookreview import cache_tags, queries
from bookreview.events import book_event, review_changed, review_created
from bookreview.isbn import Isbn
from bookreview.models import RATINGS, SOURCE_ID_MAX, Book, Review, derive
from bookreview.schemas import NewBookSchema, NewReviewSchema
from bookreview.services import count_ratings

BOOK_KEYS = {"book_id": Book.id, "isbn": Book.isbn, "book_source_id": Book.source_id}
"""The fields that can identify the book of a review."""


class SpreadsheetIsbn(Isbn):
    """An ISBN from a spreadsheet, which may have stored it as a number without leading zeros."""

    def parse_cell(self, cell: str) -> str:
        try:
            text = parse_identifier(cell)
        except ValueError as error:
            raise ValueError(f"Not an ISBN: {error}") from None
        # The check digit decides whether the padded text is an ISBN.
        text = re.sub(r"\.0*$", "", text.strip("='"))
        return text.zfill(10) if re.fullmatch(r"[0-9]{6,8}[0-9Xx]", text) else text


class BookRowSchema(NewBookSchema):
    """A book in a file."""

    isbn = SpreadsheetIsbn()
    source_id = Identifier(SOURCE_ID_MAX)


class ExportedBookSchema(BookRowSchema):
    """A book of an export."""

    id = BoundedInteger(1, ID_MAX, required=True)
    created_at = Rfc3339DateTime()


class ReviewRowSchema(NewReviewSchema):
    """A review in a file."""

    book_id = BoundedInteger(1, ID_MAX)
    isbn = SpreadsheetIsbn()
    book_source_id = Identifier(SOURCE_ID_MAX)
    created_at = Rfc3339DateTime()
    source_id = Identifier(SOURCE_ID_MAX)


class ExportedReviewSchema(ReviewRowSchema):
    """A review of an export."""

    id = BoundedInteger(1, ID_MAX, required=True)


def write_books(batch: Sequence[Row], key: str) -> Written:
    """Write books."""
    changes = upsert(Book, batch, key, finish=_derive_book, returning=queries.BOOK_COLUMNS)
    old = {cache_tags.book_tag(c.before["id"]) for c in changes if c.before is not None}
    tags = {cache_tags.BOOKS, cache_tags.MEMBERS, *old} if changes else set()
    return tags, [book_event("changed" if c.before else "created", c.stored) for c in changes]


def _derive_book(values: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    current = {**(stored or {}), **values}
    return {**derive(current["title"], current["author"]), **_next_version(stored)}


def _next_version(stored: Mapping[str, Any] | None) -> dict[str, int]:
    """Return the version of a changed row; a new one has its default."""
    return {} if stored is None else {"version": stored["version"] + 1}


def check_book_columns(fields: Collection[str]) -> None:
    """Raise LoadError unless exactly one column identifies the book of a review."""
    present = [name for name in BOOK_KEYS if name in fields]
    if len(present) != 1:
        found = " and ".join(present) or "none"
        raise LoadError(
            f"Exactly one column must identify the book: {', '.join(BOOK_KEYS)}; found {found}."
        )


def resolve_books(batch: Sequence[Row], fields: Set[str]) -> None:
    """Set the book id of each review, and a source_id from its content if the file has none.

    A review of an unknown book is rejected.
    """
    name = next(name for name in BOOK_KEYS if name in fields)
    column = BOOK_KEYS[name]
    keys = {row.values.get(name) for row in batch} - {None}
    stored = fetch_all(select(column, Book.id).where(column.in_(keys))) if keys else ()
    ids = {row[0]: row[1] for row in stored}
    for row in batch:
        key = row.values.pop(name, None)
        if key not in ids:
            row.reject(f"{name}: there is no book {key}" if key else f"{name}: blank")
            continue
        row.values["book_id"] = ids[key]
        if fields.isdisjoint({"source_id", ID}):
            row.values["source_id"] = content_key(row.values)


def content_key(values: Mapping[str, Any]) -> str:
    """Return a source_id that identifies a review by its content, so repeats are one review."""
    content = [values[name] for name in ("book_id", "reviewer", "rating", "text")]
    return f"content:{hashlib.blake2b(orjson.dumps(content), digest_size=16).hexdigest()}"


def write_reviews(batch: Sequence[Row], key: str) -> Written:
    """Write reviews and update their books."""
    columns = queries.REVIEW_WITH_VERSION
    changes = upsert(Review, batch, key, finish=_derive_review, returning=columns)
    book_ids, titles = _update_books(changes)
    tags = set(cache_tags.tags_of_ratings(*book_ids)) if book_ids else set()
    tags |= {cache_tags.reviews_topic(book_id) for book_id in book_ids}
    tags |= {cache_tags.review_tag(change.before["id"]) for change in changes if change.before}
    events = []
    for _, before, _, review in changes:
        if before is None:
            events.append(review_created(review, titles[review.book_id]))
        else:
            events += review_changed(review, was_hidden=before["hidden"])
    return tags, events


def _derive_review(values: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    added = {} if stored or "created_at" in values else {"created_at": now()}
    return {**added, **_next_version(stored)}


def _update_books(changes: Sequence[Change]) -> tuple[set[int], dict[int, str]]:
    """Count the ratings of the changed reviews.

    Return the ids of the books of all of them, and the titles of those that have new ones.
    """
    ratings: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for change in changes:
        current = {**(change.before or {"hidden": False}), **change.after}
        visible = 0 if current["hidden"] else 1  # a load neither hides nor shows a review
        if change.before is not None:
            ratings[change.before["book_id"]][change.before["rating"]] -= visible
        ratings[current["book_id"]][current["rating"]] += visible
    ids_by_change: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for book_id, counts in ratings.items():
        ids_by_change[tuple(counts[rating] for rating in RATINGS)].append(book_id)
    ids_by_change.pop((0,) * len(RATINGS), None)
    # Rows are locked in the order of ids, so that simultaneous loads cannot deadlock.
    locked = {book_id for ids in ids_by_change.values() for book_id in ids}
    locked |= {change.after["book_id"] for change in changes if change.before is None}
    titles = {}
    if locked:
        books = select(Book.id, Book.title).where(Book.id.in_(locked)).order_by(Book.id)
        found = db.session.execute(books.with_for_update(key_share=True))
        titles = {row.id: row.title for row in found}
    for deltas, ids in ids_by_change.items():
        ratings_added = dict(zip(RATINGS, deltas, strict=True))
        db.session.execute(count_ratings(Book.id.in_(ids), ratings_added))
    return set(ratings), titles


BOOKS = LoadSpec(
    schema=BookRowSchema,
    exported=ExportedBookSchema,
    keys=("isbn", "source_id"),
    write=write_books,
)
REVIEWS = LoadSpec(
    schema=ReviewRowSchema,
    exported=ExportedReviewSchema,
    keys=("source_id",),
    write=write_reviews,
    prepare=resolve_books,
    generates_key=True,
    check=check_book_columns,
)
