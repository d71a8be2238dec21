"""Each page of books and of reviews is read from an index, at the same cost at any depth."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, insert, select, text, true

from app.api.cursors import encode_cursor
from app.db.engine import autocommit_engine
from app.extensions import db
from bookreview import queries, search
from bookreview.models import RATINGS, Book, Review, derive

BOOKS = 9_000
REVIEWS = 12_000
LIMIT = 100
START = datetime(2024, 1, 1, tzinfo=UTC)
BOOK_INDEXES = {
    "title": "ix_book_title",
    "author": "ix_book_author",
    "published_year": "ix_book_year",
    "average_rating": "ix_book_average",
    "review_count": "ix_book_count",
}
REVIEW_INDEXES = {
    "newest": "ix_review_by_time",
    "oldest": "ix_review_by_time",
    "highest": "ix_review_by_rating",
    "lowest": "ix_review_by_rating",
}
ALL = true()
OF_BOOK = Review.book_id == 2
REVIEWS_PATH = "/books/2/reviews"
LISTS = [
    *(
        ("/books", sort, "", ALL, BOOK_INDEXES[sort.removeprefix("-")])
        for sort in search.ORDERS
        if sort != "id"
    ),
    *((REVIEWS_PATH, sort, "", OF_BOOK, index) for sort, index in REVIEW_INDEXES.items()),
    (
        "/books",
        "published_year",
        "year_from=1960&year_to=2020",
        Book.published_year.between(1960, 2020),
        "ix_book_year",
    ),
    ("/books", "average_rating", "min_rating=2.5", Book.average_rating >= 2.5, "ix_book_average"),
    ("/books", "-average_rating", "min_rating=2.5", Book.average_rating >= 2.5, "ix_book_average"),
    ("/books", "-published_year", "year_to=2020", Book.published_year <= 2020, "ix_book_year"),
    *(
        (REVIEWS_PATH, sort, filters, OF_BOOK & condition, "ix_review_by_rating")
        for sort, filters, condition in (
            ("newest", "rating=4", Review.rating == 4),
            ("oldest", "min_rating=3", Review.rating >= 3),
            ("newest", "min_rating=5", Review.rating >= 5),
            ("lowest", "min_rating=2", Review.rating >= 2),
            ("highest", "min_rating=2", Review.rating >= 2),
        )
    ),
]
"""Path, order, filters, the same as a condition, and the index that serves them."""


@pytest.fixture
def many_rows(app):
    """Many books with few different keys, a third with none; 10,000 reviews of the second one."""
    books = [
        {
            **words(f"Title {number % 7}", f"Author {number % 5}"),
            "published_year": None if number % 3 == 0 else 1950 + number % 80,
            **ratings([] if number % 3 == 1 else [1 + number % 5] * (number % 3) + [3]),
        }
        for number in range(BOOKS)
    ]
    reviews = [
        {
            "book_id": 1 if number % 6 == 0 else 2,
            "rating": RATINGS[number % 5],
            "reviewer": "Ana",
            "text": "One of many.",
            "created_at": START + timedelta(minutes=number // 20),
        }
        for number in range(REVIEWS)
    ]
    with app.app_context():
        db.session.execute(insert(Book), books)
        db.session.execute(insert(Review), reviews)
        db.session.commit()
        with db.engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            on_sqlite = connection.dialect.name == "sqlite"
            connection.execute(text("ANALYZE" if on_sqlite else "VACUUM ANALYZE"))


def words(title, author):
    return {"title": title, "author": author, "version": 1, **derive(title, author)}


def ratings(found):
    stars = {f"stars_{rating}": found.count(rating) for rating in RATINGS}
    return {"review_count": len(found), "rating_sum": sum(found), **stars}


@pytest.fixture
def statements_of(app, client):
    """A request that returns the statements which it executes, with their parameters."""

    def send(path):
        seen = []

        def record(_, cursor, statement, parameters, *others):
            seen.append((statement, parameters))

        with app.app_context():
            engine = autocommit_engine()
        event.listen(engine, "before_cursor_execute", record)
        response = client.get(path)
        event.remove(engine, "before_cursor_execute", record)
        assert response.status_code == 200, response.json
        assert len(response.json["items"]) > 0
        return seen

    return send


@pytest.fixture
def pages(app, statements_of):
    """The statements of the first page of a list, and of pages at three depths."""

    def read(path, sort, filters, condition):
        address = f"{path}?{'&'.join(sorted(filter(None, [filters, f'sort={sort}'])))}"
        with app.app_context():
            cursors = cursors_of(sort, condition, address)
        limited = f"{address}&limit={LIMIT}"
        return [
            statements_of(limited),
            *(statements_of(f"{limited}&cursor={cursor}") for cursor in cursors),
        ]

    return read


def cursors_of(sort, condition, address):
    """Return cursors to the list at ``address``: near its start, in the middle, near its end."""
    order = {**search.ORDERS, **queries.REVIEW_ORDERS}[sort]
    without_key = order.keys[0].is_(None)
    rows = select(*order.keys).order_by(without_key, *order.apply(order.keys)).where(condition)
    found = db.session.execute(rows).all()
    # Where only a few rows are left, PostgreSQL may also read and sort all of them.
    depths = (LIMIT, len(found) // 2, len(found) * 4 // 5)
    return [encode_cursor(found[depth], order.keys, address) for depth in depths]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


def is_split(sort, filters):
    """Return whether a page is read in parts: with and without key, or one for each rating."""
    nullable = sort.removeprefix("-") in ("published_year", "average_rating") and not filters
    return nullable or filters == "min_rating=3"


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_on_postgresql_every_page_reads_only_its_rows_from_the_index(many_rows, app, pages):
    for path, sort, filters, condition, index in LISTS:
        for statements in pages(path, sort, filters, condition):
            [(statement, parameters)] = statements
            with app.app_context(), db.engine.connect() as connection:
                explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
                [[explained]] = connection.exec_driver_sql(explain, parameters)
            found = explained if isinstance(explained, list) else json.loads(explained)
            plan = list(nodes(found[0]["Plan"]))
            reads = [node for node in plan if "Relation Name" in node]
            assert {node.get("Index Name") for node in reads} == {index}, (sort, filters, plan)
            for node in reads:
                # Only the rows of the page and one more are read.
                assert node["Actual Rows"] <= LIMIT + 1, (sort, filters, plan)
                assert node.get("Rows Removed by Filter", 0) == 0, (sort, filters, plan)
            # At most one page of the table for each row, and few of the index.
            blocks = plan[0]["Shared Hit Blocks"] + plan[0]["Shared Read Blocks"]
            assert blocks <= sum(node["Actual Rows"] for node in reads) + 8 * len(reads), plan
            sorts = any("Sort" in node["Node Type"] for node in plan)
            assert not sorts or is_split(sort, filters), (sort, filters, plan)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_on_sqlite_every_page_searches_the_index_in_the_same_number_of_steps(
    many_rows, pages, database
):
    connection = sqlite3.connect(database.removeprefix("sqlite:///"))
    for path, sort, filters, condition, index in LISTS:
        steps = []
        for statements in pages(path, sort, filters, condition):
            [(statement, parameters)] = statements
            explained = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plan = [row[3] for row in explained]
            reads = [
                line for line in plan if line.startswith(("SEARCH", "SCAN")) and "INDEX" in line
            ]
            assert reads, plan
            assert all(f"{index}_rowid" in line for line in reads), (sort, filters, plan)
            assert not any(line in ("SCAN book", "SCAN review") for line in plan), plan
            sorts = any("TEMP B-TREE" in line for line in plan)
            assert not sorts or is_split(sort, filters), (sort, filters, plan)
            taken = []
            connection.set_progress_handler(lambda taken=taken: taken.append(1), 1)
            connection.execute(statement, parameters).fetchall()
            connection.set_progress_handler(None, 1)
            steps.append(len(taken))
        assert max(steps) <= steps[1] * 1.02, (sort, filters, steps)
        # From the second page on, each row is also compared with the cursor.
        assert steps[1] <= steps[0] * 1.7, (sort, filters, steps)
    connection.close()
