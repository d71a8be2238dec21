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


def test_zeros_after_the_cents_are_no_fraction(store):
    assert store(amount=Decimal("19.9900"), at=None).amount == Decimal("19.99")


@pytest.mark.parametrize(
    "amount", ["19.995", "0.001", "-0.005", "12345678901234567890123456789.001"]
)
def test_a_fraction_of_a_cent_is_never_rounded(store, amount):
    with pytest.raises(StatementError, match="Inexact"):
        store(amount=Decimal(amount), at=None)


def test_a_time_is_returned_in_utc(store):
    local = datetime(2026, 11, 22, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    (_, at) = store(amount=None, at=local)
    assert at == local
    assert at.isoformat() == datetime(2026, 11, 21, 23, 30, tzinfo=UTC).isoformat()


def test_a_naive_time_is_refused(store):
    with pytest.raises(StatementError, match="needs a timezone"):
        store(amount=None, at=datetime(2026, 11, 22))  # noqa: DTZ001
