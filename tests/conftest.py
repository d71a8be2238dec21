"""Real servers for the suite, and a fresh migrated database for each test that wants one."""

import gzip
import http.client
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from jsonschema import Draft202012Validator
from sqlalchemy import NullPool, create_engine, make_url, text
from werkzeug.exceptions import HTTPException

from app.api.openapi import written
from app.config import Settings, database_url
from app.extensions import db
from app.factory import create_app
from app.services import services_of
from stack import process
from stack.process import Server
from stack.servers import Postgres, Redis

ROOT = Path(__file__).parents[1]
SECRET = "a secret of the tests"
NUMBERS = count(1)
EMPTY = """
DO $$ BEGIN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    EXECUTE (
        SELECT 'TRUNCATE ' || string_agg(quote_ident(tablename), ', ')
            || ' RESTART IDENTITY CASCADE'
        FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    );
END $$
"""


def pytest_configure() -> None:
    """Give each worker of pytest-xdist its own ports, free or not: a server may be down for now."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    process.PORTS = process.PORTS[worker :: int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))]


class Gunicorn(Server):
    """The service, with the settings that its environment gives it."""

    served: ClassVar[Sequence[str]] = ("wsgi:app",)

    def __init__(self, **settings: str) -> None:
        super().__init__()
        inherited = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self.environment = {
            **inherited,
            "PYTHONPATH": str(ROOT),
            "SECRET_KEY": SECRET,
            "LOG_FORMAT": "json",
            "RATE_LIMIT_READ": "off",
            "RATE_LIMIT_WRITE": "off",
            "PORT": str(self.port),
            **settings,
        }

    def command(self) -> list[str]:
        config = str(ROOT / "gunicorn.conf.py")
        how = ["--chdir", str(ROOT), "-c", config, *self.served]
        return [sys.executable, "-m", "gunicorn", *how]

    def popen_options(self) -> Mapping[str, Any]:
        return {"env": self.environment}

    def is_ready(self) -> bool:
        try:
            return self.ask("GET", "/healthz")[0] == 200
        except OSError:
            return False

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Any:
        """Return status, headers and body of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def terminate(self) -> None:
        """Ask for the end, and do not wait for it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def reload(self) -> None:
        """Ask for new workers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def workers(self) -> set[int]:
        """Return the process ids of the workers."""
        assert self._process is not None
        master = self._process.pid
        return {
            int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()
        }

    def ended(self) -> int:
        """Wait for the end, and return the exit code."""
        assert self._process is not None
        return self._process.wait(20)


class LiveGunicorn(Gunicorn):
    """The service with GraphQL on the line, as `make run` starts it."""

    served = ("-k", "asgi", "--reuse-port", "asgi:app")

    def cursor(self) -> str:
        """Return the cursor of the newest event."""
        status, _, body = self.ask("POST", "/graphql", b'{"query": "{ eventCursor }"}')
        assert status == 200, body
        return str(json.loads(body)["data"]["eventCursor"])


@pytest.fixture
def serve() -> Iterator[Callable[..., Gunicorn]]:
    """A factory of running services."""
    yield from factory_of(Gunicorn)


@pytest.fixture
def serve_live() -> Iterator[Callable[..., LiveGunicorn]]:
    """A factory of running services with GraphQL on the line."""
    yield from factory_of(LiveGunicorn)


def factory_of(kind: type[Server]) -> Iterator[Callable[..., Any]]:
    """Give a function that starts servers of a kind, and end them all."""
    running: list[Server] = []

    def start(**settings: str) -> Server:
        running.append(kind(**settings))
        running[-1].start()
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture(scope="module", params=[Gunicorn, LiveGunicorn], ids=["wsgi", "asgi"])
def served(
    request: pytest.FixtureRequest, migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gunicorn]:
    """One running service of each kind, with two workers, for all tests of a module."""
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("served") / "bookstall.db")
    with request.param(DATABASE_URL=f"sqlite:///{path}") as server:
        yield server


@pytest.fixture(scope="session")
def live_service() -> type[LiveGunicorn]:
    """What serves GraphQL on the line, for modules that make their own."""
    return LiveGunicorn


@pytest.fixture(scope="session")
def live_on_sqlite(
    migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveGunicorn]:
    """One service with GraphQL on the line for all tests, without Redis."""
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("live") / "bookstall.db")
    with LiveGunicorn(DATABASE_URL=f"sqlite:///{path}") as server:
        yield server


@pytest.fixture(scope="session")
def live_on_stack(
    postgres_url: str, migrated_postgres: str, redis_url: str
) -> Iterator[LiveGunicorn]:
    """The same on PostgreSQL and Redis."""
    with (
        copy_of(postgres_url, migrated_postgres) as url,
        LiveGunicorn(DATABASE_URL=url, REDIS_URL=redis_url) as server,
    ):
        yield server


@pytest.fixture(scope="session", params=["sqlite", "stack"])
def live(request: pytest.FixtureRequest) -> Any:
    """A service with GraphQL on the line, of both kinds in turn."""
    return request.getfixturevalue(f"live_on_{request.param}")


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
    nameless(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_url: str) -> Iterator[str]:
    name = f"bookstall_migrated_{os.getpid()}"
    on_postgres(postgres_url, f'CREATE DATABASE "{name}"')
    migrate_up(beside(postgres_url, name))
    nameless(beside(postgres_url, name))
    yield name
    on_postgres(postgres_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def sqlite_database(migrated_sqlite: Path, tmp_path: Path) -> str:
    """A fresh, migrated SQLite file."""
    path = shutil.copy(migrated_sqlite, tmp_path / "bookstall.db")
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def reused_postgres(postgres_url: str, migrated_postgres: str) -> Iterator[str]:
    with copy_of(postgres_url, migrated_postgres) as url:
        yield url


@pytest.fixture
def postgres_database(reused_postgres: str) -> str:
    """An empty, migrated PostgreSQL database: made once, as that takes a third of a second.

    A test that changes its tables takes ``postgres_copy`` instead.
    """
    on_postgres(reused_postgres, EMPTY)
    return reused_postgres


@pytest.fixture
def postgres_copy(postgres_url: str, migrated_postgres: str) -> Iterator[str]:
    """A migrated PostgreSQL database of the test's own."""
    with copy_of(postgres_url, migrated_postgres) as url:
        yield url


@pytest.fixture
def new_postgres(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL database with nothing in it."""
    with copy_of(postgres_url, "template1") as url:
        yield url


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
    return held_to_the_document(app)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FlaskClient]:
    """One client for all tests of a module, for those that any number of rows leaves alone."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            migrated = request.getfixturevalue("migrated_sqlite")
            url = f"sqlite:///{shutil.copy(migrated, tmp_path_factory.mktemp('shared') / 'it.db')}"
        else:
            names = ("postgres_url", "migrated_postgres")
            url = stack.enter_context(copy_of(*map(request.getfixturevalue, names)))
        settings = Settings(database_url=database_url(url), secret_key=SECRET, testing=True)
        app = create_app(settings)
        stack.callback(close, app)
        yield held_to_the_document(app)


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


class ConformingClient(FlaskClient):
    """A client that holds every answer of the API against the OpenAPI document."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        answer = super().open(*args, **kwargs)
        if answer.data and answer.status_code != 405:
            self._check(answer)
        return answer

    def _check(self, answer: Any) -> None:
        document = json.loads(services_of(self.application).openapi_document)
        try:
            urls = self.application.url_map.bind("")
            rule, _ = urls.match(answer.request.path, answer.request.method, return_rule=True)
        except HTTPException:
            return
        operations = document["paths"].get(re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        if operations is None:
            return
        described = operations[answer.request.method.lower()]["responses"][str(answer.status_code)]
        if "$ref" in described:
            described = document["components"]["responses"][described["$ref"].split("/")[-1]]
        schema = described["content"][answer.mimetype]["schema"]
        body = answer.data
        if answer.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        Draft202012Validator(
            {"components": document["components"], **schema},
            format_checker=Draft202012Validator.FORMAT_CHECKER,
        ).validate(json.loads(body))


def held_to_the_document(app: Flask) -> FlaskClient:
    with app.app_context():
        written()
    app.test_client_class = ConformingClient
    return app.test_client()


@pytest.fixture(scope="session")
def migrated_by() -> Callable[[str], None]:
    """Bring the database at a URL to the newest migration."""
    return migrate_up


def migrate_up(url: str) -> None:
    app = create_app(Settings(database_url=database_url(url), secret_key=SECRET, testing=True))
    with app.app_context():
        upgrade()
    close(app)


def nameless(url: str) -> None:
    """Let each copy of this database give its log of events a name of its own."""
    engine = create_engine(database_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM event_head"))


def close(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()


@contextmanager
def copy_of(url: str, template: str) -> Iterator[str]:
    """Make a database like ``template``, for as long as the block lasts."""
    name = f"bookstall_{os.getpid()}_{next(NUMBERS)}"
    on_postgres(url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield beside(url, name)
    finally:
        on_postgres(url, f'DROP DATABASE "{name}" WITH (FORCE)')


def beside(url: str, name: str) -> str:
    """Name another database of the same server."""
    return make_url(url).set(database=name).render_as_string(hide_password=False)


def on_postgres(url: str, statement: str) -> None:
    engine = create_engine(database_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
