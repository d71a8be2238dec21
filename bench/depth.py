"""A page at any depth of one book's many reviews, by keyset and by OFFSET."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from statistics import median

from flask import Flask
from sqlalchemy import select, text

from app.api.cursors import seal
from app.api.pagination import PageRequest
from app.config import Settings, database_url
from app.db.engine import rows
from app.extensions import db
from app.factory import create_app
from bench.table import percentile, show
from bench.timing import DATABASES, interleaved, tidy, timed
from bookreview import queries
from bookreview.models import Review
from stress.data import engine_of, fill
from stress.service import SECRET

LIMIT = 50
LIST = f"/books/1/reviews?limit={LIMIT}"
KEYS = (Review.created_at, Review.id)
NEWEST = select(*queries.REVIEW).where(Review.book_id == 1).order_by(*(key.desc() for key in KEYS))
FILL = {
    "PostgreSQL": """
        INSERT INTO review (book_id, rating, reviewer, text, created_at)
        SELECT 1, 1 + n % 5, 'Reader ' || n % 9973, 'What reader ' || n || ' thinks of this book.',
               TIMESTAMPTZ '2020-01-01 00:00:00Z' + n / 3 * INTERVAL '1 second'
        FROM generate_series(1, :count) AS n""",
    "SQLite": """
        WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
        INSERT INTO review (book_id, rating, reviewer, text, created_at)
        SELECT 1, 1 + n % 5, 'Reader ' || n % 9973, 'What reader ' || n || ' thinks of this book.',
               strftime('%Y-%m-%d %H:%M:%S.000000', '2020-01-01', (n / 3) || ' seconds')
        FROM numbers""",
}


def run(quick: bool) -> None:
    """Measure both databases."""
    count, times = (50_000, 30) if quick else (1_000_000, 200)
    for name, database in DATABASES.items():
        with database() as url:
            began = time.perf_counter()
            _fill(name, url, count)
            print(f"\n{name}: {count:,} reviews of one book, made in ", end="")
            print(
                f"{time.perf_counter() - began:.0f} s; pages of {LIMIT}, times of the query alone\n"
            )
            _measure(url, count, times)


def _fill(name: str, url: str, count: int) -> None:
    fill(url, books=1, reviews=0)
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text(FILL[name]), {"count": count})
    tidy(name, url)


def _measure(url: str, count: int, times: int) -> None:
    settings = Settings(database_url=database_url(url), secret_key=SECRET, testing=True)
    app = create_app(settings)
    depths = {"start": 0, "middle": count // 2, "end": count - LIMIT - 1}
    pages = {name: PageRequest(LIMIT, _cursor(app, depth)) for name, depth in depths.items()}
    by_keyset = {
        name: timed(app, LIST, partial(queries.reviews, 1, page)) for name, page in pages.items()
    }
    by_offset = {
        name: timed(app, LIST, partial(rows, NEWEST.offset(depth).limit(LIMIT + 1)))
        for name, depth in depths.items()
    }
    _print("keyset", interleaved(by_keyset, times))
    _print("OFFSET", interleaved(by_offset, max(times // 20, 3)))
    with app.app_context():
        db.engine.dispose()


def _cursor(app: Flask, depth: int) -> str | None:
    """Make the cursor that a reader who paged so deep would hold."""
    if depth == 0:
        return None
    with app.test_request_context(LIST):
        return seal(rows(NEWEST.offset(depth - 1).limit(1))[0], KEYS)


def _print(way: str, found: Mapping[str, Sequence[float]]) -> None:
    first = median(found["start"])
    table = [
        (name, f"{median(ms):.2f}", f"{percentile(ms, 99):.2f}", f"{median(ms) / first:.2f}")
        for name, ms in found.items()
    ]
    show([way, "p50 ms", "p99 ms", "of the first page's"], table)
    print()
