"""Column types and indexes that behave the same on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Any

import orjson
from sqlalchemy import BigInteger, DateTime, Dialect, Index, Text, TypeDecorator, text

_EXACT = Context(traps=[Inexact, InvalidOperation])
CODE_POINTS = Text().with_variant(Text(collation="C"), "postgresql")
"""Text sorted by code points, which is the same order on both databases."""


def only_where(condition: str) -> dict[str, Any]:
    """Return the options of an index that only contains rows for which ``condition`` is true."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


def keyset_indexes(name: str, *columns: str) -> tuple[Index, Index]:
    """Return the index on ``columns`` and the id, as each of the two databases needs it."""
    return (
        Index(name, *columns, "id", info={"only": "postgresql"}),
        # SQLite appends the rowid to each entry, and can seek by it unless it is also a column.
        Index(f"{name}_rowid", *columns, info={"only": "sqlite"}),
    )


class Money(TypeDecorator[Decimal]):
    """An amount with two decimals, stored as whole cents: exact on both databases."""

    impl = BigInteger
    cache_ok = True

    @property
    def python_type(self) -> type[Decimal]:
        return Decimal

    def process_bind_param(self, value: Decimal | str | None, dialect: Dialect) -> int | None:
        """Convert an amount or its text to cents; raise decimal.Inexact for a fraction of one."""
        if value is None:
            return None
        return int(_EXACT.to_integral_exact(_EXACT.scaleb(Decimal(value), 2)))

    def process_result_value(self, value: int | None, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(value).scaleb(-2)

    @staticmethod
    def as_text(cents: int | None) -> str | None:
        """Return the text of ``process_result_value``, which takes three times as long."""
        if cents is None:
            return None
        whole, rest = divmod(abs(cents), 100)
        return f"{'-' if cents < 0 else ''}{whole}.{rest:02}"


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC, timezone-aware on both databases."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; raise ValueError for a naive time, which is ambiguous."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime needs a timezone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Return None on PostgreSQL, whose driver returns aware times: saves a call per value."""
        return super().result_processor(dialect, coltype) if dialect.name == "sqlite" else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the timezone to the naive times of SQLite."""
        return None if value is None else value.replace(tzinfo=UTC)


class JsonText(TypeDecorator[orjson.Fragment]):
    """JSON that an SQL expression writes as text, and that responses contain as it is."""

    impl = Text
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        return orjson.Fragment  # to parse it, and to write it again, would cost five times as much


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
