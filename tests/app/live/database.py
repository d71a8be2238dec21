"""What tests do in the database of a running service."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, text

from app.config import database_url


@contextmanager
def connect(server: Any) -> Iterator[Connection]:
    """A transaction in the database of a service."""
    url = database_url(server.environment["DATABASE_URL"])
    with create_engine(url, poolclass=NullPool).begin() as connection:
        yield connection


def run(server: Any, statement: str, **values: Any) -> None:
    """Run a statement in the database of a service."""
    with connect(server) as connection:
        connection.execute(text(statement), values)
