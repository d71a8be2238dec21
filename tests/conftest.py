"""Real servers for the suite, and a fresh migrated database for each test that wants one."""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from sqlalchemy import NullPool, create_engine, make_url, text

from app.config import Settings, database_url
from app.extensions import db
from app.factory import create_app
from stack.servers import Postgres, Redis

SECRET = "a secret of the tests"
NUMBERS = count(1)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server on which the suite may make databases: the one named, else one of its own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with Postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that nobody disturbs: the one named, else one of the suite's own."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    with Redis() as server:
        yield server.url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrate_up(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[str]:
    name = f"bookstall_migrated_{os.getpid()}"
    on_postgres(postgres_url, f'CREATE DATABASE "{name}"')
    migrate_up(beside(postgres_url, name))
    yield name
    on_postgres(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite file."""
    path = shutil.copy(migrated_sqlite, tmp_path / "bookstall.db")
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_database(postgres_url: str, migrated_postgres: str) -> Iterator[str]:
    """A fresh, migrated PostgreSQL database."""
    name = f"bookstall_{os.getpid()}_{next(NUMBERS)}"
    on_postgres(postgres_url, f'CREATE DATABASE "{name}" TEMPLATE "{migrated_postgres}"')
    yield beside(postgres_url, name)
    on_postgres(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Each database in turn: a test that asks for this runs twice."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    return str(request.getfixturevalue(f"{kind}_database"))


@pytest.fixture
def make_app() -> Iterator[Callable[..., Flask]]:
    """A factory of applications, whose connections are closed at the end."""
    made: list[Flask] = []

    def make(url: str, **settings: Any) -> Flask:
        checked = Settings(
            **{"secret_key": SECRET, "testing": True, **settings}, database_url=database_url(url)
        )
        made.append(create_app(checked))
        return made[-1]

    yield make
    for app in made:
        close(app)


@pytest.fixture
def app(make_app: Callable[..., Flask], database: str) -> Flask:
    """The service on each database, without Redis."""
    return make_app(database)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def book(client: FlaskClient) -> Callable[..., int]:
    """A factory of books; returns the id."""

    def make(**fields: Any) -> int:
        answer = client.post("/books", json={"title": "Emma", "author": "Jane Austen", **fields})
        assert answer.status_code == 201, answer.json
        return int(answer.json["id"])

    return make


@pytest.fixture
def review(client: FlaskClient) -> Callable[..., int]:
    """A factory of reviews of a book; returns the id."""

    def make(book_id: int, **fields: Any) -> int:
        words = {"rating": 4, "reviewer": "Ana", "text": "Read in one night.", **fields}
        answer = client.post(f"/books/{book_id}/reviews", json=words)
        assert answer.status_code == 201, answer.json
        return int(answer.json["id"])

    return make


def migrate_up(url: str) -> None:
    app = create_app(Settings(database_url=database_url(url), secret_key=SECRET, testing=True))
    with app.app_context():
        upgrade()
    close(app)


def close(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()


def beside(url: str, name: str) -> str:
    """Name another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def on_postgres(url: str, statement: str) -> None:
    engine = create_engine(database_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
