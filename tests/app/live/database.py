"""What tests do in the database of a running service."""

from typing import Any

from sqlalchemy import NullPool, create_engine, text

from app.config import database_url


def run(server: Any, statement: str, **values: Any) -> None:
    """Run a statement in the database of a service."""
    url = database_url(server.environment["DATABASE_URL"])
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(statement), values)
