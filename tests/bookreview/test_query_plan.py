"""The page of a book's reviews is read from its index: no sort, and no cost of depth."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, insert

from app.db.engine import autocommit_engine
from app.extensions import db
from bookreview.models import Book, Review, fold

BOOKS = 3
REVIEWS = 12_000
BEGAN = datetime(2024, 1, 1, tzinfo=UTC)
INDEX = "ix_review_newest_of_book"


@pytest.fixture
def shelves(app):
    """Three books with 4,000 reviews each, one each minute, books in turn."""
    words = {"title": "T", "author": "A", "folded": fold("T", "A")}
    rows = [
        {
            "book_id": number % BOOKS + 1,
            "rating": 4,
            "reviewer": "Ana",
            "text": "One of many.",
            "created_at": BEGAN + timedelta(minutes=number),
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
def asked(app, client):
    """What the database was asked for the sake of one request."""

    def ask(path):
        seen = []

        def note(_, cursor, statement, parameters, *others):
            seen.append((statement, parameters))

        with app.app_context():
            engine = autocommit_engine()
        event.listen(engine, "before_cursor_execute", note)
        answer = client.get(path)
        event.remove(engine, "before_cursor_execute", note)
        assert answer.status_code == 200, answer.json
        return seen, answer.json

    return ask


@pytest.fixture
def raw(app):
    """Put a statement to the driver."""

    def execute(statement, parameters):
        with app.app_context(), db.engine.connect() as connection:
            return connection.exec_driver_sql(statement, parameters).all()

    return execute


def pages(asked):
    """Return the statements of the first, the second and the tenth page."""
    statements, page = asked("/books/2/reviews?limit=100")
    seen = [statements]
    for _ in range(9):
        statements, page = asked(f"/books/2/reviews?limit=100&cursor={page['next_cursor']}")
        seen.append(statements)
    return seen[0], seen[1], seen[9]


def nodes(plan):
    yield plan
    for below in plan.get("Plans", []):
        yield from nodes(below)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_on_postgresql_a_page_is_an_index_scan_without_a_sort_at_any_depth(shelves, asked, raw):
    for statements in pages(asked):
        assert len(statements) == 1
        [[explained]] = raw(f"EXPLAIN (ANALYZE, FORMAT JSON) {statements[0][0]}", statements[0][1])
        found = explained if isinstance(explained, list) else json.loads(explained)
        plan = list(nodes(found[0]["Plan"]))
        reviews = [node for node in plan if node.get("Relation Name") == "review"]
        assert [node.get("Index Name") for node in reviews] == [INDEX]
        assert "Sort" not in str([node["Node Type"] for node in plan])
        # The page and one row more are all that is touched, however deep the page lies.
        assert reviews[0]["Actual Rows"] == 101
        assert reviews[0].get("Rows Removed by Filter", 0) == 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_on_sqlite_a_page_is_an_index_search_without_a_sort_at_any_depth(shelves, asked, raw):
    for statements in pages(asked):
        assert len(statements) == 1
        plan = " / ".join(
            row[3] for row in raw(f"EXPLAIN QUERY PLAN {statements[0][0]}", statements[0][1])
        )
        assert f"SEARCH review USING INDEX {INDEX}_rowid (book_id=?" in plan
        continued = "(created_at" in statements[0][0].partition("WHERE")[2].replace("review.", "")
        # Entered at both keys: one alone would walk through all reviews of the same moment.
        assert ("(created_at,rowid)<(?,?)" in plan) is continued
        assert "TEMP B-TREE" not in plan
        assert "SCAN review" not in plan


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_on_sqlite_a_deep_page_takes_no_more_steps_than_the_second(shelves, asked, database):
    def steps(statement, parameters):
        with sqlite3.connect(database.removeprefix("sqlite:///")) as connection:
            taken = []
            connection.set_progress_handler(lambda: taken.append(1), 1)
            connection.execute(statement, parameters).fetchall()
        connection.close()
        return len(taken)

    _, second, tenth = pages(asked)
    assert steps(*tenth[0]) <= steps(*second[0]) * 1.01
