"""The tables of books and reviews, with the rules that the database enforces."""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    Computed,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    false,
    literal_column,
)
from sqlalchemy.orm import Mapped, mapped_column

from app.db.types import CODE_POINTS, UtcDateTime, keyset_indexes, now
from app.extensions import Base
from app.text import fold

TITLE_MAX = 500
AUTHOR_MAX = 1_000
REVIEWER_MAX = 100
TEXT_MAX = 10_000
SOURCE_ID_MAX = 100
YEAR_MIN, YEAR_MAX = -5_000, 2_100
RATINGS = range(1, 6)
KEY_MAX = 200
"""Code points of a sort key: PostgreSQL cannot index more than 2,704 bytes."""


class Book(Base):
    """A book, with the counts of its visible reviews, which every write of a review updates.

    The version rises with every change of what a client sees of the book. Migration 0011 completes
    rows that are written without it: by the release before, or by hand.
    """

    __tablename__ = "book"
    __table_args__ = (
        CheckConstraint(f"published_year BETWEEN {YEAR_MIN} AND {YEAR_MAX}", name="year_in_bounds"),
        CheckConstraint(
            "rating_sum BETWEEN review_count AND 5 * review_count", name="ratings_add_up"
        ),
        # SQLite has a trigger instead, which does not see the rows that others complete.
        CheckConstraint(
            "least(stars_1, stars_2, stars_3, stars_4, stars_5) >= 0 "
            "AND stars_1 + stars_2 + stars_3 + stars_4 + stars_5 = review_count AND 1 * stars_1 "
            "+ 2 * stars_2 + 3 * stars_3 + 4 * stars_4 + 5 * stars_5 = rating_sum",
            name="stars_add_up",
            info={"only": "postgresql"},
        ),
        *keyset_indexes("ix_book_title", "title_key"),
        *keyset_indexes("ix_book_author", "author_key"),
        *keyset_indexes("ix_book_year", "published_year"),
        *keyset_indexes("ix_book_average", "average_rating"),
        *keyset_indexes("ix_book_count", "review_count"),
        Index(
            "ix_book_part",
            "folded",
            postgresql_using="gin",
            postgresql_ops={"folded": "gin_trgm_ops"},
            # Every search would have to scan the list of pending entries.
            postgresql_with={"fastupdate": "off"},
            info={"only": "postgresql"},  # SQLite uses the table book_part instead
        ),
        # The id of a deleted book is never used again; the sequences of PostgreSQL never go back.
        {"sqlite_autoincrement": True},
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
    stars_1: Mapped[int] = mapped_column(default=0, server_default=literal_column("0"))
    stars_2: Mapped[int] = mapped_column(default=0, server_default=literal_column("0"))
    stars_3: Mapped[int] = mapped_column(default=0, server_default=literal_column("0"))
    stars_4: Mapped[int] = mapped_column(default=0, server_default=literal_column("0"))
    stars_5: Mapped[int] = mapped_column(default=0, server_default=literal_column("0"))
    version: Mapped[int] = mapped_column(default=1, server_default=literal_column("0"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    # The id of this book in the file that it was loaded from.
    source_id: Mapped[str | None] = mapped_column(String(SOURCE_ID_MAX), unique=True)
    # Title and author in the form for searches, which is the same on both databases.
    folded: Mapped[str] = mapped_column(Text)
    # The beginnings of both, to sort by.
    title_key: Mapped[str] = mapped_column(CODE_POINTS, server_default=literal_column("''"))
    author_key: Mapped[str] = mapped_column(CODE_POINTS, server_default=literal_column("''"))


class Review(Base):
    """A reader's review of a book. A hidden one is in no list and in no count."""

    __tablename__ = "review"
    __table_args__ = (
        CheckConstraint("rating BETWEEN 1 AND 5", name="rating_in_bounds"),
        *keyset_indexes("ix_review_by_time", "book_id", "hidden", "created_at"),
        *keyset_indexes("ix_review_by_rating", "book_id", "hidden", "rating", "created_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
    rating: Mapped[int]
    reviewer: Mapped[str] = mapped_column(String(REVIEWER_MAX))
    text: Mapped[str] = mapped_column(Text)
    hidden: Mapped[bool] = mapped_column(default=False, server_default=false())
    version: Mapped[int] = mapped_column(default=1, server_default=literal_column("1"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    source_id: Mapped[str | None] = mapped_column(String(SOURCE_ID_MAX), unique=True)


def derive(title: str, author: str) -> dict[str, str]:
    """Return the columns that are derived from the title and the author of a book."""
    title, author = fold(title), fold(author)
    return {
        "folded": f"{title}\n{author}",
        "title_key": title[:KEY_MAX],
        "author_key": author[:KEY_MAX],
    }
