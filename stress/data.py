"""A migrated database with books, reviews and a product, the same in every run."""

import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, insert, text

from app.config import database_url
from app.text import fold as fold_text
from bookreview.models import RATINGS, Book, Review, derive
from inventory import models as inventory
from stack.servers import Postgres, Standby
from stress.service import ROOT, environment

BOOKS = 2_000
REVIEWS = 5_000
START = datetime(2020, 1, 1, tzinfo=UTC)
PRODUCT = {
    "sku": "LP-DESK-OAK",
    "name": "Desk lamp “Night owl”, oak and brass",
    "price": Decimal("89.00"),
    "stock_level": 7,
    "updated_at": START,
    "folded": fold_text("Desk lamp “Night owl”, oak and brass"),
}
REVIEW = b'{"rating": 4, "reviewer": "Ana", "text": "Read in one night."}'
"""The body of a POST of a review."""
WORDS = re.findall(
    r"\w+",
    "the of a night river house winter garden letter silent last blue stone sea daughter king "
    "road secret light summer history glass memory island map Åse Ségolène Zoë Łukasz",
)


def migrate(url: str) -> None:
    """Migrate the database to the newest revision."""
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade"]
    settings = environment(DATABASE_URL=url)
    subprocess.run(command, env=settings, cwd=ROOT, check=True, capture_output=True)


@contextmanager
def new_database(*, sqlite: bool = False, given: str | None = None) -> Iterator[str]:
    """Yield the URL of a migrated database on a server of its own, or the given one."""
    with ExitStack() as stack:
        if given:
            url = given
        elif sqlite:
            url = f"sqlite:///{stack.enter_context(TemporaryDirectory())}/stress.db"
        else:
            url = stack.enter_context(Postgres()).new_database("stress")
        if not given:
            migrate(url)
        yield url


@contextmanager
def new_replicated_database() -> Iterator[tuple[str, Standby]]:
    """Yield the URL of a migrated database on a server of its own, and a standby of that."""
    with Postgres() as postgres, Standby(postgres) as standby:
        url = postgres.new_database("stress")
        migrate(url)
        yield url, standby


def fill(url: str, books: int = BOOKS, reviews: int = REVIEWS) -> None:
    """Migrate the database and add books, reviews of the first one, and a product."""
    migrate(url)
    rng = random.Random(7)
    ratings = [rng.randint(1, 5) for _ in range(reviews)]
    book_rows = [_book(rng, number) for number in range(1, books + 1)]
    book_rows[0] |= _counts(ratings)
    with create_unpooled_engine(url).begin() as connection:
        connection.execute(insert(Book), book_rows)
        connection.execute(insert(inventory.Product), PRODUCT)
        review_rows = [_review(rng, n, rating) for n, rating in enumerate(ratings)]
        if review_rows:
            connection.execute(insert(Review), review_rows)
        connection.execute(text("ANALYZE"))


def create_unpooled_engine(url: str) -> Engine:
    """Return an engine that closes each connection after use."""
    return create_engine(database_url(url), poolclass=NullPool)


def _some_words(rng: random.Random, least: int, most: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(least, most))).capitalize()


def _book(rng: random.Random, number: int) -> dict[str, Any]:
    title, author = _some_words(rng, 2, 7), _some_words(rng, 2, 4).title()
    ratings = rng.choices(RATINGS, k=rng.randint(0, 400))
    return {
        "title": title,
        "author": author,
        "isbn": f"978{number:010d}",
        "published_year": rng.randint(1850, 2025),
        **_counts(ratings),
        "created_at": START + timedelta(seconds=number),
        **derive(title, author),
    }


def _counts(ratings: Sequence[int]) -> dict[str, int]:
    stars = {f"stars_{rating}": ratings.count(rating) for rating in RATINGS}
    return {"review_count": len(ratings), "rating_sum": sum(ratings), **stars}


def _review(rng: random.Random, number: int, rating: int) -> dict[str, Any]:
    return {
        "book_id": 1,
        "rating": rating,
        "reviewer": _some_words(rng, 2, 2).title(),
        "text": _some_words(rng, 10, 60) + ".",
        "created_at": START + timedelta(minutes=number),
    }
