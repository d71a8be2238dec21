"""Books and reviews from files: which fields there are, and what else a row changes."""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import select, update

from app.api.fields import ID_MAX, Text, Whole
from app.db.engine import now, rows
from app.extensions import db
from app.loading.columns import Moment
from app.loading.csv_files import LoadError, Row
from app.loading.loader import Target
from app.loading.upsert import Change, upsert
from bookreview.isbn import Isbn
from bookreview.models import SOURCE_ID_MAX, Book, Review, fold
from bookreview.schemas import NewBookSchema, NewReviewSchema

BOOK_NAMES = {"book_id": Book.id, "isbn": Book.isbn, "book_source_id": Book.source_id}
"""The fields by which a review may name its book."""


class SheetIsbn(Isbn):
    """An ISBN from a spreadsheet, which takes it for a number and drops its leading zeros."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = re.sub(r"\.0*$", "", str(value).strip())
        # Ten characters must still prove themselves by their check digit.
        padded = text.zfill(10) if re.fullmatch(r"[0-9]{6,8}[0-9Xx]", text) else text
        return super()._deserialize(padded, attr, data, **kwargs)


class BookRowSchema(NewBookSchema):
    """A book in a file."""

    isbn = SheetIsbn()
    source_id = Text(SOURCE_ID_MAX)


class ReviewRowSchema(NewReviewSchema):
    """A review in a file."""

    book_id = Whole(1, ID_MAX)
    isbn = SheetIsbn()
    book_source_id = Text(SOURCE_ID_MAX)
    created_at = Moment()
    source_id = Text(SOURCE_ID_MAX)


def write_books(batch: Sequence[Row], key: str) -> set[str]:
    """Write books; return the tags to forget."""
    changes = upsert(Book, batch, key, _folded)
    old = {f"book:{change.before['id']}" for change in changes if change.before is not None}
    return {"books", *old} if changes else set()


def _folded(values: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    present = {**(stored or {}), **values}
    folded = {"folded": fold(present["title"], present["author"])}
    return folded if stored else {"review_count": 0, "rating_sum": 0, **folded}


def name_one_book(fields: Collection[str]) -> None:
    """Raise LoadError unless the file names each review's book in one way."""
    named = [name for name in BOOK_NAMES if name in fields]
    if len(named) != 1:
        found = " and ".join(named) or "none"
        raise LoadError(
            f"Exactly one column must name the book: {', '.join(BOOK_NAMES)}; found {found}."
        )


def find_books(batch: Sequence[Row], fields: Collection[str]) -> None:
    """Give each review the id of its book; and where the file has no key, one made of its content.

    A review of a book that we do not have is rejected.
    """
    name = next(name for name in BOOK_NAMES if name in fields)
    column = BOOK_NAMES[name]
    wanted = {row.values.get(name) for row in batch} - {None}
    found = rows(select(column, Book.id).where(column.in_(wanted))) if wanted else ()
    known = {row[0]: row[1] for row in found}
    for row in batch:
        named = row.values.pop(name, None)
        if named not in known:
            row.reject(f"{name}: there is no book {named}" if named else f"{name}: blank")
            continue
        row.values["book_id"] = known[named]
        if "source_id" not in fields:
            row.values["source_id"] = content_key(row.values)


def content_key(values: Mapping[str, Any]) -> str:
    """Name a review by what it says: a row that is repeated is one review."""
    content = [values[name] for name in ("book_id", "reviewer", "rating", "text")]
    return f"content:{hashlib.blake2b(orjson.dumps(content), digest_size=16).hexdigest()}"


def write_reviews(batch: Sequence[Row], key: str) -> set[str]:
    """Write reviews and count them into their books; return the tags to forget."""
    changes = upsert(Review, batch, key, _dated)
    touched = _count_in(changes)
    tags = {tag for book_id in touched for tag in (f"book:{book_id}", f"book:{book_id}:reviews")}
    return {"books", *tags} if touched else set()


def _dated(values: Mapping[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    return {} if stored or "created_at" in values else {"created_at": now()}


def _count_in(changes: Sequence[Change]) -> set[int]:
    """Add what ``changes`` mean to the sums of their books; return the ids of these."""
    sums: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for change in changes:
        if change.before is not None:
            sums[change.before["book_id"]].subtract({"n": 1, "rating": change.before["rating"]})
        present = {**(change.before or {}), **change.after}
        sums[present["book_id"]].update({"n": 1, "rating": present["rating"]})
    steps: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for book_id, change_of in sums.items():
        steps[change_of["n"], change_of["rating"]].append(book_id)
    steps.pop((0, 0), None)
    _lock([book_id for ids in steps.values() for book_id in ids])
    for (count, rating), ids in steps.items():
        _add(ids, count, rating)
    return set(sums)


def _lock(ids: Collection[int]) -> None:
    # In the order of ids: two loads wait for each other, never crosswise.
    if ids:
        books = select(Book.id).where(Book.id.in_(ids)).order_by(Book.id)
        db.session.execute(books.with_for_update(key_share=True)).all()


def _add(ids: Collection[int], count: int, rating: int) -> None:
    db.session.execute(
        update(Book)
        .where(Book.id.in_(ids))
        .values(review_count=Book.review_count + count, rating_sum=Book.rating_sum + rating)
        .execution_options(synchronize_session=False)
    )


BOOKS = Target(schema=BookRowSchema, keys=("isbn", "source_id"), write=write_books)
REVIEWS = Target(
    schema=ReviewRowSchema,
    keys=("source_id",),
    write=write_reviews,
    prepare=find_books,
    makes_key=True,
    check=name_one_book,
)
