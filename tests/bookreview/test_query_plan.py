"""Each page of a book's reviews is read from the index, without a sort, at the same cost."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, insert

from app.db.engine import autocommit_engine
from app.extensions import db
from bookreview.models import Book, Review, derive

BOOKS = 3
REVIEWS = 12_000
START = datetime(2024, 1, 1, tzinfo=UTC)
INDEX = "ix_review_by_time"


@pytest.fixture
def many_reviews(app):
    """Three books with 4,000 reviews each, one per minute, for each book in turn."""
    words = {"title": "T", "author": "A", **derive("T", "A")}
    rows = [
        {
            "book_id": number % BOOKS + 1,
            "rating": 4,
            "reviewer": "Ana",
            "text": "One of many.",
            "created_at": START + timedelta(minutes=number),
        }
        for number in range(REVIEWS)
    ]
    with app.app_context():
        db.session.execute(insert(Book), [words] * BOOKS)
        db.session.execute(insert(Review), rows)
        db.session.commit()
        with db.engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
            connection.commit()


@pytest.fixture
def statements_of(app, client):
    """A request that returns the executed statements and its response."""

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
        return seen, response.json

    return send


@pytest.fixture
def execute_raw(app):
    """Execute a statement without SQLAlchemy."""

    def execute(statement, parameters):
        with app.app_context(), db.engine.connect() as connection:
            return connection.exec_driver_sql(statement, parameters).all()

    return execute


def pages(statements_of):
    """Return the statements of the first, the second and the tenth page."""
    statements, page = statements_of("/books/2/reviews?limit=100")
    seen = [statements]
    for _ in range(9):
        statements, page = statements_of(f"/books/2/reviews?limit=100&cursor={page['next_cursor']}")
        seen.append(statements)
    return seen[0], seen[1], seen[9]


def nodes(plan):
    yield plan
    for child in plan.get("Plans", []):
        yield from nodes(child)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_on_postgresql_every_page_is_an_index_scan_without_a_sort(
    many_reviews, statements_of, execute_raw
):
    for statements in pages(statements_of):
        assert len(statements) == 1
        [[explained]] = execute_raw(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statements[0][0]}", statements[0][1]
        )
        found = explained if isinstance(explained, list) else json.loads(explained)
        plan = list(nodes(found[0]["Plan"]))
        reviews = [node for node in plan if node.get("Relation Name") == "review"]
        assert [node.get("Index Name") for node in reviews] == [INDEX]
        assert "Sort" not in str([node["Node Type"] for node in plan])
        # Only the rows of the page and one more are read.
        assert reviews[0]["Actual Rows"] == 101
        assert reviews[0].get("Rows Removed by Filter", 0) == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_on_sqlite_every_page_is_an_index_search_without_a_sort(
    many_reviews, statements_of, execute_raw
):
    for statements in pages(statements_of):
        assert len(statements) == 1
        plan = " / ".join(
            row[3]
            for row in execute_raw(f"EXPLAIN QUERY PLAN {statements[0][0]}", statements[0][1])
        )
        assert f"SEARCH review USING INDEX {INDEX}_rowid (book_id=? AND hidden=?" in plan
        continued = "(created_at" in statements[0][0].partition("WHERE")[2].replace("review.", "")
        # The search uses both keys: one alone would scan all reviews with the same time.
        assert ("(created_at,rowid)<(?,?)" in plan) is continued
        assert "TEMP B-TREE" not in plan
        assert "SCAN review" not in plan


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_on_sqlite_the_tenth_page_takes_no_more_steps_than_the_second(
    many_reviews, statements_of, database
):
    def steps(statement, parameters):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
            steps_taken = []
            connection.set_progress_handler(lambda: steps_taken.append(1), 1)
            connection.execute(statement, parameters).fetchall()
        connection.close()
        return len(steps_taken)

    _, second, tenth = pages(statements_of)
    assert steps(*tenth[0]) <= steps(*second[0]) * 1.01
