"""Real servers for the suite, and a fresh migrated database for each test that asks for one."""

import gzip
import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.exceptions import HTTPException

from app.api.openapi import openapi_json
from app.cache import self_check
from app.config import Settings, database_url
from app.db import engine, timeouts
from app.factory import create_app
from stack import process
from stack.servers import Postgres, Redis
from tests import databases
from tests.servers import SECRET, Gunicorn, LiveGunicorn
from tests.waiting import PATIENCE, patient

LONGEST = {"test_consistency.py", "test_servers.py", "test_install.py", "test_sigterm.py"}


def pytest_configure() -> None:
    """Give each worker of pytest-xdist its own ports, free or not: a server may be down for now.

    And give servers more time to start, and to stop, than their users want to wait, and any time
    to examples of hypothesis: a busy machine needs it.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    process.PORTS = process.PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]
    process.Server.timeout = PATIENCE
    # A shell starts its background jobs with this signal ignored, and all that they start inherits
    # that: then no program of a test could be interrupted.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    hypothesis.settings.register_profile(
        "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("tests")
    # A busy machine may pause within a transaction of a test, or create a database slowly.
    engine.IDLE_TIMEOUT_MS = PATIENCE * 1_000
    timeouts.RESPONSE_TIMEOUT = PATIENCE
    # Hits are checked at random, in a thread: other tests would see its queries and its counts.
    self_check.PART = 0.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files: else they run at the end, one by one."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def serve() -> Iterator[Callable[..., Gunicorn]]:
    """A factory of running services."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(Gunicorn(**settings))


@pytest.fixture
def serve_live() -> Iterator[Callable[..., LiveGunicorn]]:
    """A factory of running services with subscriptions."""
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(LiveGunicorn(**settings))


@pytest.fixture(scope="session")
def live_service() -> type[LiveGunicorn]:
    """The class of services with subscriptions, for modules that start their own."""
    return LiveGunicorn


@pytest.fixture(scope="session")
def gunicorn_on_sqlite(
    migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """One service without subscriptions for all tests, without Redis."""
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("gunicorn") / "bookstall.db")
    with Gunicorn(DATABASE_URL=f"sqlite:///{path}") as server:
        yield server


@pytest.fixture(scope="session")
def live_on_sqlite(
    migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveGunicorn]:
    """One service with subscriptions for all tests, without Redis."""
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("live") / "bookstall.db")
    with LiveGunicorn(DATABASE_URL=f"sqlite:///{path}") as server:
        yield server


@pytest.fixture(scope="module", params=["gunicorn", "live"], ids=["wsgi", "asgi"])
def served(request: pytest.FixtureRequest) -> Any:
    """A service under each kind of worker, with two of them."""
    return request.getfixturevalue(f"{request.param}_on_sqlite")


@pytest.fixture(scope="session")
def live_on_stack(
    postgres_url: str, migrated_postgres: str, redis_url: str
) -> Iterator[LiveGunicorn]:
    """The same on PostgreSQL and Redis."""
    with (
        databases.copy_of(postgres_url, migrated_postgres) as url,
        LiveGunicorn(DATABASE_URL=url, REDIS_URL=redis_url) as server,
    ):
        yield server


@pytest.fixture(scope="session", params=["sqlite", "stack"])
def live(request: pytest.FixtureRequest) -> Any:
    """A service with subscriptions, on SQLite and on PostgreSQL with Redis."""
    return request.getfixturevalue(f"live_on_{request.param}")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server on which the suite may create databases: TEST_DATABASE_URL, else its own."""
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield given
        return
    with Postgres() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis that no test stops: TEST_REDIS_URL, else the suite's own."""
    given = os.environ.get("TEST_REDIS_URL")
    if given:
        yield given
        return
    with Redis() as server:
        yield patient(server.url)


@pytest.fixture
def fresh_redis(redis_url: str) -> str:
    """The same Redis without the versions of tags, and the counts of clients, of earlier tests.

    Versions live for twice CACHE_TTL: one that expires during a test turns a hit into a miss.
    """
    with redis.Redis.from_url(redis_url) as connection:
        for pattern in ("bookstall:*:t:*", "bookstall:limit:*"):
            if found := list(connection.scan_iter(pattern, count=1_000)):
                connection.delete(*found)
    return redis_url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    databases.migrate_template(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[str]:
    name = f"bookstall_migrated_{os.getpid()}"
    databases.execute(postgres_url, f'CREATE DATABASE "{name}"')
    databases.migrate_template(databases.with_database(postgres_url, name))
    yield name
    databases.execute(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite file."""
    path = shutil.copy(migrated_sqlite, tmp_path / "bookstall.db")
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def reused_postgres(postgres_url: str, migrated_postgres: str) -> Iterator[str]:
    with databases.copy_of(postgres_url, migrated_postgres) as url:
        yield url


@pytest.fixture
def postgres_database(reused_postgres: str) -> str:
    """An empty, migrated PostgreSQL database: created once, as that takes a third of a second.

    A test that changes the tables takes ``postgres_copy`` instead.
    """
    databases.empty(reused_postgres)
    return reused_postgres


@pytest.fixture
def postgres_copy(postgres_url: str, migrated_postgres: str) -> Iterator[str]:
    """A migrated PostgreSQL database for one test."""
    with databases.copy_of(postgres_url, migrated_postgres) as url:
        yield url


@pytest.fixture
def new_postgres(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL database without tables."""
    with databases.copy_of(postgres_url, "template1") as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Each database in turn: a test that asks for this runs twice."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    return str(request.getfixturevalue(f"{kind}_database"))


@pytest.fixture(scope="session")
def migrate() -> Callable[[str], None]:
    """Upgrade the database at a URL to the newest migration."""
    return databases.migrate


@pytest.fixture
def make_app() -> Iterator[Callable[..., Flask]]:
    """A factory of applications, whose connections are closed at the end."""
    apps: list[Flask] = []

    def make(url: str, **settings: Any) -> Flask:
        checked = Settings(
            **{"secret_key": SECRET, "testing": True, **settings}, database_url=database_url(url)
        )
        app = create_app(checked)
        apps.append(app)
        return app  # apps[-1] may be that of another thread

    yield make
    for app in apps:
        databases.close(app)


@pytest.fixture
def app(make_app: Callable[..., Flask], database: str) -> Flask:
    """The service on each database, without Redis."""
    return make_app(database)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return conforming_client(app)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FlaskClient]:
    """One client for all tests of a module, for tests that accept any rows of other tests."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            migrated = request.getfixturevalue("migrated_sqlite")
            url = f"sqlite:///{shutil.copy(migrated, tmp_path_factory.mktemp('shared') / 'it.db')}"
        else:
            names = ("postgres_url", "migrated_postgres")
            url = stack.enter_context(databases.copy_of(*map(request.getfixturevalue, names)))
        settings = Settings(database_url=database_url(url), secret_key=SECRET, testing=True)
        app = create_app(settings)
        stack.callback(databases.close, app)
        yield conforming_client(app)


@pytest.fixture
def book(client: FlaskClient) -> Callable[..., int]:
    """A factory of books; returns the id."""

    def make(**fields: Any) -> int:
        response = client.post("/books", json={"title": "Emma", "author": "Jane Austen", **fields})
        assert response.status_code == 201, response.json
        return int(response.json["id"])

    return make


@pytest.fixture
def review(client: FlaskClient) -> Callable[..., int]:
    """A factory of reviews of a book; returns the id."""

    def make(book_id: int, **fields: Any) -> int:
        body = {"rating": 4, "reviewer": "Ana", "text": "Read in one night.", **fields}
        response = client.post(f"/books/{book_id}/reviews", json=body)
        assert response.status_code == 201, response.json
        return int(response.json["id"])

    return make


class ConformingClient(FlaskClient):
    """A client that validates every response of the API against the OpenAPI document."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        response = super().open(*args, **kwargs)
        # The body of a stream that is to be read later must not be read here.
        if kwargs.get("buffered", True) and response.data and response.status_code != 405:
            self._validate(response)
        return response

    def _validate(self, response: Any) -> None:
        with self.application.app_context():
            document = json.loads(openapi_json())
        try:
            urls = self.application.url_map.bind("")
            rule, _ = urls.match(response.request.path, response.request.method, return_rule=True)
        except HTTPException:
            return
        operations = document["paths"].get(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        if operations is None:
            return
        operation = operations[response.request.method.lower()]
        described = operation["responses"][str(response.status_code)]
        if "$ref" in described:
            described = document["components"]["responses"][described["$ref"].split("/")[-1]]
        content = described["content"][response.mimetype]
        body = response.data
        if response.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        lines = body.splitlines() if response.mimetype == "application/x-ndjson" else [body]
        validator = Draft202012Validator(
            {
                "components": document["components"],
                **content.get("x-item-schema", content["schema"]),
            },
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        )
        for line in lines if response.mimetype != "text/csv" else ():
            validator.validate(json.loads(line))


def conforming_client(app: Flask) -> FlaskClient:
    app.test_client_class = ConformingClient
    return app.test_client()
