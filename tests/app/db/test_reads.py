"""Compiled reads: the same rows as SQLAlchemy's, its errors, and connections that are lost."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import bindparam, event, insert, literal_column, select
from sqlalchemy.exc import DBAPIError

from app.db import reads
from app.db.engine import autocommit_engine, fetch_all
from app.db.reads import fetch_compiled
from app.db.types import Money, now
from app.extensions import db
from bookreview.models import Book, derive
from inventory.models import Product
from tests import databases
from tests.app.private_names import check
from tests.waiting import PATIENCE

BOOKS = select(Book.id, Book.title, Book.isbn, Book.average_rating, Book.created_at)
BOOKS_BY_AGE = BOOKS.where(Book.created_at <= bindparam("latest")).order_by(Book.id).limit(2)
PRODUCTS = select(Product.id, Product.price, Product.updated_at).where(
    Product.price >= bindparam("least")
)


@pytest.fixture
def books(app):
    """Three books in the database, in an application context."""
    rows = [
        {"title": f"{name} 100 %s", "author": "A", "isbn": isbn, **derive(name, "A")}
        for name, isbn in (("Emma", None), ("Årstid", "9780141439587"), ("日本", None))
    ]
    with app.app_context():
        db.session.execute(insert(Book), rows)
        db.session.commit()
        yield rows


def test_rows_are_those_of_sqlalchemy_with_names(books):
    latest = {"latest": now()}
    rows = fetch_compiled(BOOKS_BY_AGE, latest)
    assert rows == [tuple(row) for row in fetch_all(BOOKS_BY_AGE, latest)]
    assert [row.title for row in rows] == [book["title"] for book in books[:2]]
    assert rows[0]._fields == ("id", "title", "isbn", "average_rating", "created_at")


def test_amounts_are_texts_also_in_a_comparison(app):
    values = {"sku": "LAMP", "name": "Lamp", "folded": "lamp"}
    with app.app_context():
        db.session.execute(insert(Product), {**values, "price": Decimal("19.90")})
        db.session.commit()
        (product,) = fetch_compiled(PRODUCTS, {"least": Decimal("19.9")})
        assert product.price == "19.90"
        assert fetch_compiled(PRODUCTS, {"least": product.price}) == [product]
        assert fetch_compiled(PRODUCTS, {"least": "19.91"}) == []


@given(st.none() | st.integers(-(2**63), 2**63 - 1))
def test_the_text_of_an_amount_is_that_of_its_decimal(cents):
    amount = Money().process_result_value(cents, None)
    assert Money.as_text(cents) == (None if amount is None else str(amount))


def test_a_statement_that_fails_raises_the_error_of_sqlalchemy(app, books):
    broken = select(literal_column("no_such_column")).select_from(Book)
    with pytest.raises(DBAPIError, match="no_such_column"):
        fetch_compiled(broken)
    assert len(fetch_compiled(BOOKS_BY_AGE, {"latest": now()})) == 2


def test_a_connection_that_was_closed_raises_the_error_of_sqlalchemy(app, books):
    engine = autocommit_engine()

    def close(connection, *_):
        connection.close()

    event.listen(engine.pool, "checkout", close)
    try:
        with pytest.raises(DBAPIError) as failure:
            fetch_compiled(BOOKS_BY_AGE, {"latest": now()})
    finally:
        event.remove(engine.pool, "checkout", close)
    assert failure.value.connection_invalidated
    assert len(fetch_compiled(BOOKS_BY_AGE, {"latest": now()})) == 2


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_after_one_lost_connection_the_pool_replaces_all(app, books, database, monkeypatch):
    """Otherwise each of them would fail one request after a restart of the database."""
    # A connection that is not used for a second, as on a busy machine, is replaced before its use.
    monkeypatch.setattr("app.db.engine.PRE_PING_AFTER_SECONDS", PATIENCE)
    engine, together = autocommit_engine(), Barrier(3)

    def connect(_):
        with engine.connect():
            together.wait(PATIENCE)

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(connect, range(3)))
    databases.execute(
        database,
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity"
        " WHERE application_name = 'bookstall' AND datname = current_database()",
    )
    with pytest.raises(DBAPIError) as lost:
        fetch_compiled(BOOKS_BY_AGE, {"latest": now()})
    assert lost.value.connection_invalidated
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(connect, range(3)))
    for _ in range(3):
        assert len(fetch_compiled(BOOKS_BY_AGE, {"latest": now()})) == 2


@pytest.mark.parametrize("name", reads.PRIVATE_NAMES)
def test_sqlalchemy_has_the_private_name(name):
    check(name, reads, "SQLAlchemy")
