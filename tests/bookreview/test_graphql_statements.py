"""How many SQL statements a GraphQL query costs."""

import pytest
from sqlalchemy import literal_column, text

from app.extensions import db
from bookreview.models import Review
from bookreview.queries import ALL_REVIEWS, newest_reviews, select_newest_reviews
from tests.bookreview.graphql_client import Statements, data


@pytest.mark.parametrize("books", [1, 3, 9])
def test_the_reviews_of_all_books_on_a_page_cost_one_statement(app, client, book, review, books):
    ids = [book(title=f"Emma {number}") for number in range(books)]
    for number, owner in enumerate(ids):
        for at in range(number % 5):
            review(owner, text=f"{owner} {at}")
    query = """{ books(first: 20) {
        nodes { id reviewCount reviews(first: 3) { nodes { text } pageInfo { hasNextPage } } }
        edges { node { reviews(first: 3) { edges { node { bookId } } } } } } }"""
    with Statements(app) as sent:
        found = data(client, query)["books"]
    assert len(sent) == 2
    for owner, node in zip(ids, found["nodes"], strict=True):
        rest = client.get(f"/books/{owner}/reviews?limit=3").json
        reviews = node["reviews"]
        assert [review["text"] for review in reviews["nodes"]] == [r["text"] for r in rest["items"]]
        assert reviews["pageInfo"]["hasNextPage"] == (rest["next_cursor"] is not None)


def test_each_further_page_size_and_each_total_cost_one_statement(app, client, book, review):
    for _ in range(3):
        review(book())
    query = """{ books { totalCount again: totalCount
        nodes { one: reviews(first: 1) { nodes { id } } two: reviews(first: 2) { nodes { id } } }
    } }"""
    with Statements(app) as sent:
        data(client, query)
    assert len(sent) == 4


def test_the_totals_of_listed_books_cost_no_statement(app, client, book, review):
    review(book())
    book()
    with Statements(app) as sent:
        found = data(client, "{ books { nodes { reviews(first: 1) { totalCount } } } }")
    assert [shown["reviews"]["totalCount"] for shown in found["books"]["nodes"]] == [1, 0]
    assert len(sent) == 2


def test_the_reviews_of_all_books_and_their_titles_cost_one_statement(app, client, book, review):
    for _ in range(3):
        review(book())
    with Statements(app) as sent:
        data(client, "{ reviews(first: 2) { nodes { bookTitle } } }")
    assert len(sent) == 1


def test_the_title_of_one_book_is_read_once_and_only_if_it_is_requested(app, client, book, review):
    emma = book()
    for _ in range(3):
        review(emma)
    for fields, statements in (("text", 1), ("bookTitle", 2)):
        with Statements(app) as sent:
            data(client, f"{{ reviews(bookId: {emma}) {{ nodes {{ {fields} }} }} }}")
        assert len(sent) == statements


def test_the_reviews_of_all_books_are_read_in_the_order_of_the_primary_key(app):
    with app.app_context(), db.engine.connect() as connection:
        postgres = db.engine.dialect.name == "postgresql"
        if postgres:
            connection.execute(text("SET enable_seqscan = off"))
        statement = ALL_REVIEWS.order_by(Review.id.desc()).limit(literal_column("3"))
        explain = "EXPLAIN " if postgres else "EXPLAIN QUERY PLAN "
        plan = str(connection.exec_driver_sql(explain + literal(statement, db.engine)).all())
    assert ("Index Scan Backward using pk_review" in plan) == postgres, plan
    assert "Sort" not in plan
    assert "TEMP B-TREE" not in plan


def test_reviews_of_many_books_are_read_through_the_index(app, client, book, review):
    for _ in range(3):
        review(book())
    with app.app_context(), db.engine.connect() as connection:
        assert newest_reviews([1, 2, 3], 2).keys() == {1, 2, 3}
        if db.engine.dialect.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        explain = "EXPLAIN " if db.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        plan = str(
            connection.exec_driver_sql(explain + literal(select_newest_reviews(4), db.engine)).all()
        )
    assert plan.count("ix_review_by_time") == 4, plan


def literal(statement, engine):
    values = dict.fromkeys(statement.compile(engine).params, 1)
    bound = statement.params(values)
    return str(bound.compile(engine, compile_kwargs={"literal_binds": True}))
