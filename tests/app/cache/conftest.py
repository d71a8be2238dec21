"""Applications that share one database and one Redis, which a test may stop or freeze."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from stack.servers import Redis
from tests.waiting import patient


@pytest.fixture
def server() -> Iterator[Redis]:
    """A Redis of the test's own."""
    with Redis() as server:
        yield server


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """SQLite: these tests are about Redis; stress/consistency does the same on PostgreSQL."""
    return str(request.getfixturevalue("sqlite_database"))


@pytest.fixture
def make_worker(
    make_app: Callable[..., Flask], database: str, server: Redis
) -> Callable[[], Flask]:
    """A factory of applications on one database and one Redis, like the workers of a service."""
    return lambda: make_app(database, redis_url=patient(server.url))


@pytest.fixture
def worker(make_worker: Callable[[], Flask]) -> Flask:
    return make_worker()


@pytest.fixture
def client(worker: Flask) -> FlaskClient:
    return worker.test_client()
