"""A migrated database with books and reviews, the same at every run."""

import random
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, insert, text

from app.config import database_url
from bench.load import ROOT
from bookreview.models import Book, Review, fold
from inventory import models as inventory
from stress.service import environment

BOOKS = 2_000
REVIEWS = 5_000
FIRST = datetime(2020, 1, 1, tzinfo=UTC)
PRODUCT = {
    "sku": "LP-DESK-OAK",
    "name": "Desk lamp “Night owl”, oak and brass",
    "price": Decimal("89.00"),
    "stock_level": 7,
    "updated_at": FIRST,
    "folded": inventory.fold("Desk lamp “Night owl”, oak and brass"),
}
WORDS = re.findall(
    r"\w+",
    "the of a night river house winter garden letter silent last blue stone sea daughter king "
    "road secret light summer history glass memory island map Åse Ségolène Zoë Łukasz",
)


def migrate(url: str, revision: str = "head") -> None:
    """Bring the database to a migration, the newest unless another is named."""
    words = [sys.executable, "-m", "flask", "--app", "wsgi", "db", "upgrade", revision]
    settings = environment(DATABASE_URL=url)
    subprocess.run(words, env=settings, cwd=ROOT, check=True, capture_output=True)


def fill(url: str, books: int = BOOKS, reviews: int = REVIEWS) -> None:
    """Add books, reviews of the first one, and a product."""
    migrate(url)
    chance = random.Random(7)
    ratings = [chance.randint(1, 5) for _ in range(reviews)]
    shelf = [_book(chance, number) for number in range(1, books + 1)]
    shelf[0] |= {"review_count": reviews, "rating_sum": sum(ratings)}
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(insert(Book), shelf)
        connection.execute(insert(inventory.Product), PRODUCT)
        said = [_review(chance, n, rating) for n, rating in enumerate(ratings)]
        if said:
            connection.execute(insert(Review), said)
        connection.execute(text("ANALYZE"))


def engine_of(url: str) -> Engine:
    """Return an engine that keeps no connection."""
    return create_engine(database_url(url), poolclass=NullPool)


def _some(chance: random.Random, least: int, most: int) -> str:
    return " ".join(chance.choices(WORDS, k=chance.randint(least, most))).capitalize()


def _book(chance: random.Random, number: int) -> dict[str, Any]:
    title, author = _some(chance, 2, 7), _some(chance, 2, 4).title()
    reviews = chance.randint(0, 400)
    return {
        "title": title,
        "author": author,
        "isbn": f"978{number:010d}",
        "published_year": chance.randint(1850, 2025),
        "review_count": reviews,
        "rating_sum": chance.randint(reviews, 5 * reviews),
        "created_at": FIRST + timedelta(seconds=number),
        "folded": fold(title, author),
    }


def _review(chance: random.Random, number: int, rating: int) -> dict[str, Any]:
    return {
        "book_id": 1,
        "rating": rating,
        "reviewer": _some(chance, 2, 2).title(),
        "text": _some(chance, 10, 60) + ".",
        "created_at": FIRST + timedelta(minutes=number),
    }
