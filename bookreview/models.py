"""The tables of books and reviews, with the rules that the database enforces."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Computed, Float, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import UtcDateTime, now
from app.extensions import Base
from app.text import fold as fold_text

TITLE_MAX = 500
AUTHOR_MAX = 1_000
REVIEWER_MAX = 100
TEXT_MAX = 10_000
SOURCE_ID_MAX = 100
YEAR_MIN, YEAR_MAX = -5_000, 2_100


class Book(Base):
    """A book, with count and sum of its ratings, which every write of a review updates."""

    __tablename__ = "book"
    __table_args__ = (
        CheckConstraint(f"published_year BETWEEN {YEAR_MIN} AND {YEAR_MAX}", name="year_in_bounds"),
        CheckConstraint(
            "rating_sum BETWEEN review_count AND 5 * review_count", name="ratings_add_up"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(TITLE_MAX))
    author: Mapped[str] = mapped_column(String(AUTHOR_MAX))
    isbn: Mapped[str | None] = mapped_column(String(13), unique=True)
    published_year: Mapped[int | None]
    review_count: Mapped[int] = mapped_column(default=0)
    rating_sum: Mapped[int] = mapped_column(default=0)
    average_rating: Mapped[float | None] = mapped_column(
        Float(53),
        Computed("round(100.0 * rating_sum / nullif(review_count, 0)) / 100", persisted=True),
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    # The id of this book in the file that it was loaded from.
    source_id: Mapped[str | None] = mapped_column(String(SOURCE_ID_MAX), unique=True)
    # Title and author in the form for searches, which is the same on both databases.
    folded: Mapped[str] = mapped_column(Text)


class Review(Base):
    """A reader's review of a book."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating_in_bounds"),
        Index(
            "ix_review_newest_of_book", "book_id", "created_at", "id", info={"only": "postgresql"}
        ),
        # SQLite appends the rowid to each entry, and can seek by it unless it is also a column.
        Index("ix_review_newest_of_book_rowid", "book_id", "created_at", info={"only": "sqlite"}),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
    rating: Mapped[int]
    reviewer: Mapped[str] = mapped_column(String(REVIEWER_MAX))
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    source_id: Mapped[str | None] = mapped_column(String(SOURCE_ID_MAX), unique=True)


def fold(title: str, author: str) -> str:
    """Return the text that searches use: title and author, on a line each."""
    return f"{fold_text(title)}\n{fold_text(author)}"
