"""Column types: the values that both databases return."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from sqlalchemy import Column, MetaData, Table, insert, select
from sqlalchemy.exc import StatementError

from app.db.types import Money, UtcDateTime
from app.extensions import db

TABLE = Table("types_of_the_tests", MetaData(), Column("amount", Money), Column("at", UtcDateTime))


@pytest.fixture
def store(app):
    """A function that stores one row and returns what the database has for it."""

    def store(**values):
        connection.execute(insert(TABLE), values)
        return connection.execute(select(TABLE)).one()

    with app.app_context(), db.engine.connect() as connection:
        TABLE.create(connection)
        yield store
        connection.rollback()


def test_an_amount_is_exact(store):
    assert store(amount=Decimal("12345678901.23"), at=None) == (Decimal("12345678901.23"), None)


def test_a_time_is_returned_in_utc(store):
    local = datetime(2026, 11, 22, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    (_, at) = store(amount=None, at=local)
    assert at == local
    assert at.isoformat() == datetime(2026, 11, 21, 23, 30, tzinfo=UTC).isoformat()


def test_a_naive_time_is_refused(store):
    with pytest.raises(StatementError, match="needs a timezone"):
        store(amount=None, at=datetime(2026, 11, 22))  # noqa: DTZ001
