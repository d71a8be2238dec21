"""Pages of a million books in every order, and searches for rare titles, beside a read by id.

The queries run in process, without a cache: a request would hide most of their differences.
"""

import csv
import io
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, cast

from sqlalchemy import Connection, Table, select, text
from sqlalchemy.schema import CreateIndex, DropIndex

from app.api.cursors import encode_cursor
from app.api.pagination import PageRequest
from app.config import Settings, database_url
from app.factory import create_app
from bench.table import print_table
from bookreview import queries, search
from bookreview.models import RATINGS, Book, derive
from stress.data import WORDS, create_unpooled_engine, new_database
from stress.stats import percentile

BOOKS, QUICK_BOOKS = 1_000_000, 20_000
ROUNDS, QUICK_ROUNDS = 300, 40
DEPTHS = (0.5, 0.99)
RARE = {"Xylophone": 1, "Quokka": 20}
"""In how many titles each word is."""
PERCENT = 10
"""The percentile of the times that is compared: others delay most queries on a busy machine."""
PAGE_TARGET, RARE_TARGET = 1.5, 3.0
LIST = "books of the measurement"
COLUMNS = ["title", "author", "published_year", "created_at", "version", "folded", "title_key"]
COLUMNS += ["author_key", "review_count", "rating_sum", *(f"stars_{each}" for each in RATINGS)]
BATCH = 20_000
Read = Callable[[], object]
Times = dict[str, list[float]]
"""The seconds of each read, by its name, round by round."""


def run(quick: bool) -> None:
    """Measure both databases."""
    books, rounds = (QUICK_BOOKS, QUICK_ROUNDS) if quick else (BOOKS, ROUNDS)
    for sqlite in (False, True):
        with new_database(sqlite=sqlite) as url:
            began = time.monotonic()
            fill(url, books)
            seconds = time.monotonic() - began
            print(f"### {'SQLite' if sqlite else 'PostgreSQL'}\n")
            print(f"{books:,} books, filled in {seconds:.0f} s; pages of 20; {rounds} rounds\n")
            depths = [int(books * depth) for depth in DEPTHS]
            with create_unpooled_engine(url).connect() as connection:
                # Before there is an application, which limits the time of statements.
                places = {sort: _rows_at(connection, sort, depths) for sort in search.ORDERS}
            settings = Settings(database_url=database_url(url), secret_key=LIST, testing=True)
            with create_app(settings).app_context():
                _print(measure(places, books, rounds))


def measure(places: Mapping[str, Sequence[Any]], books: int, rounds: int) -> Times:
    """Time each read once in each round, in a new order."""
    rng = random.Random(1)
    reads: dict[str, Read] = {"by id": lambda: queries.book(rng.randint(1, books))}
    for sort in search.ORDERS:
        reads[f"{sort} 0"] = _page(sort)
        for depth, row in zip(DEPTHS, places[sort], strict=True):
            cursor = encode_cursor(row, search.ORDERS[sort].keys, LIST)
            reads[f"{sort} {depth}"] = _page(sort, cursor)
        reads |= {f"{word} {sort}": _page(sort, q=word) for word in RARE}
    times: Times = {name: [] for name in reads}
    for _ in range(rounds):
        for name in rng.sample(list(reads), len(reads)):
            began = time.perf_counter()
            reads[name]()
            times[name].append(time.perf_counter() - began)
    return times


def _page(sort: str, cursor: str | None = None, **filters: str) -> Read:
    page = PageRequest(cursor=cursor, list_name=LIST)
    return lambda: search.books(page, sort, **filters)


def _rows_at(connection: Connection, sort: str, depths: Sequence[int]) -> Sequence[Any]:
    order = search.ORDERS[sort]
    rows = select(*order.keys).order_by(order.keys[0].is_(None), *order.apply(order.keys))
    return [connection.execute(rows.offset(depth).limit(1)).one() for depth in depths]


def _print(times: Times) -> None:
    fast = {name: percentile(each, PERCENT) for name, each in times.items()}
    rows, ratios = [], []
    for sort in search.ORDERS:
        first = fast[f"{sort} 0"]
        each = [fast[f"{sort} {depth}"] / first for depth in DEPTHS]
        ratios += each
        rows.append([sort, f"{first * 1e6:.0f}", *(f"{ratio:.2f}" for ratio in each)])
    print_table(["sort", "first, µs", *(f"at {depth:.0%} / first" for depth in DEPTHS)], rows)
    print(f"\ntarget, at most {PAGE_TARGET} times the first: {_verdict(ratios, PAGE_TARGET)}\n")
    rows, ratios = [], []
    for sort in search.ORDERS:
        each = [fast[f"{word} {sort}"] / fast["by id"] for word in RARE]
        ratios += each
        rows.append([sort, *(f"{ratio:.2f}" for ratio in each)])
    print_table(["sort", *(f"{count} found / by id" for count in RARE.values())], rows)
    print(f"\na read by id: {fast['by id'] * 1e6:.0f} µs")
    print(f"target, at most {RARE_TARGET} times that: {_verdict(ratios, RARE_TARGET)}\n")


def _verdict(ratios: Sequence[float], target: float) -> str:
    worst = max(ratios)
    return f"worst {worst:.2f}, {'met' if worst <= target else 'MISSED'}"


def fill(url: str, books: int) -> None:
    """Add books; the indexes are built afterwards."""
    with create_unpooled_engine(url).begin() as connection:
        dialect = connection.dialect.name
        table = cast(Table, Book.__table__)
        indexes = [each for each in table.indexes if each.info.get("only") == dialect]
        for index in indexes:
            connection.execute(DropIndex(index))
        rows = _rows(books)
        while batch := list(islice(rows, BATCH)):
            _insert(connection, batch)
        for index in indexes:
            connection.execute(CreateIndex(index))
    with create_unpooled_engine(url).connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("VACUUM ANALYZE" if dialect == "postgresql" else "ANALYZE"))


def _insert(connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
    names = ", ".join(COLUMNS)
    cursor = connection.connection.cursor()
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(COLUMNS))
        cursor.executemany(f"INSERT INTO book ({names}) VALUES ({marks})", rows)
        return
    content = io.StringIO()
    csv.writer(content).writerows(rows)
    content.seek(0)
    cursor.copy_expert(f"COPY book ({names}) FROM STDIN WITH CSV", content)


def _rows(books: int) -> Iterator[Sequence[Any]]:
    rng = random.Random(3)
    rare = {number: word for word, n in RARE.items() for number in rng.sample(range(books), n)}
    created_at = datetime(2024, 1, 1, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    for number in range(books):
        title = " ".join([*rng.choices(WORDS, k=3), *filter(None, [rare.get(number)])])
        author = " ".join(rng.choices(WORDS, k=2))
        year = rng.randint(1850, 2025) if rng.random() < 0.8 else None
        reviews = rng.choices(RATINGS, k=rng.randrange(8)) if rng.random() < 0.8 else []
        derived = derive(title, author)
        keys = (derived["folded"], derived["title_key"], derived["author_key"])
        stars = [reviews.count(rating) for rating in RATINGS]
        counts = (len(reviews), sum(reviews), *stars)
        yield (title, author, year, created_at, 1, *keys, *counts)
