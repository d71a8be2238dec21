"""A database that was never migrated, is behind, or refuses: 503, and one line for operators."""

import logging
import subprocess
import sys
from pathlib import Path
from threading import get_ident
from types import SimpleNamespace

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from app.config import database_url
from app.db import errors
from tests import databases
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
BOOK = {"title": "Emma", "author": "Jane Austen"}
ROWS = "isbn,title,author,sku,name,price\n9780141439587,Emma,Jane,A-1,Lamp,1\n"
REQUESTS = [
    ("GET", "/books", None),
    ("GET", "/books/1/reviews", None),
    ("POST", "/books", BOOK),
    ("GET", "/products", None),
    ("GET", "/products/search?name=lamp", None),
    ("POST", "/products", {"sku": "A-1", "name": "Lamp", "price": "9.50"}),
]


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return request.getfixturevalue("new_postgres")


@pytest.fixture(params=["sqlite_database", "postgres_copy"])
def own_database(request):
    """A database whose tables the test may change."""
    return request.getfixturevalue(request.param)


def execute(url, *statements):
    engine = create_engine(database_url(url))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def records_of(caplog):
    """Return the records of this thread: those of applications of earlier tests may write too."""
    return [record for record in caplog.records if record.thread == get_ident()]


def warnings_of(caplog):
    return [r.getMessage() for r in records_of(caplog) if r.levelno >= logging.WARNING]


@pytest.fixture(params=["without Redis", "with Redis"])
def settings(request, redis_url):
    return {"redis_url": redis_url} if request.param == "with Redis" else {}


def test_without_tables_every_request_is_a_503_and_one_line_says_make_migrate(
    make_app, empty_database, settings, caplog, monkeypatch
):
    client = make_app(empty_database, **settings).test_client()
    monkeypatch.setattr(errors, "_logged_at", {})
    clock = SimpleNamespace(monotonic=lambda: 1.0)  # the machine has just started
    monkeypatch.setattr(errors, "time", clock)
    for method, path, body in REQUESTS:
        for _ in range(3):
            response = client.open(path, method=method, json=body)
            assert response.status_code == 503, (path, response.json)
            assert response.json["detail"] == "The database is unavailable. Please try again."
            assert int(response.headers["Retry-After"]) > 0
    lines = warnings_of(caplog)
    assert lines
    assert len(lines) == len(set(lines)) <= 3
    assert not any("\n" in line or "make migrate" not in line for line in lines)
    assert not any(record.exc_info for record in records_of(caplog))
    key = {"Authorization": f"Bearer bks_{'0' * 12}_{'A' * 43}"}
    assert client.get("/books", headers=key).status_code == 503
    assert client.get("/healthz").status_code == 200


def test_without_tables_readyz_blames_the_migrations_alone(make_app, empty_database, settings):
    response = make_app(empty_database, **settings).test_client().get("/readyz")
    assert response.status_code == 503
    checks = {"database": "ok", "migrations": "not at head", "cache": "unknown"}
    assert response.json == {"status": "unavailable", "checks": checks}


def test_without_tables_graphql_says_unavailable(make_app, empty_database):
    client = make_app(empty_database).test_client()
    for query in ("{ books(first: 1) { nodes { id } } }", "{ eventCursor }"):
        answer = client.post("/graphql", json={"query": query}).json
        assert answer["errors"][0]["extensions"]["code"] == "UNAVAILABLE", answer


@pytest.mark.parametrize(
    ("statement", "path"),
    [
        ("ALTER TABLE book RENAME COLUMN published_year TO year", "/books"),
        ("DROP TABLE stock_adjustment", "/products/1/stock-adjustments"),
    ],
)
def test_a_database_that_is_behind_is_a_503_where_it_matters(
    make_app, own_database, statement, path, caplog
):
    client = make_app(own_database).test_client()
    body = {"sku": "A-1", "name": "Lamp", "price": "9.50"}
    assert client.post("/products", json=body).status_code == 201
    execute(own_database, statement)
    assert client.get(path).status_code == 503
    assert any("make migrate" in line for line in warnings_of(caplog))
    assert client.get("/products").status_code == 200


def test_a_missing_privilege_is_a_503_and_names_the_table(make_app, postgres_copy, caplog):
    role = f"reader_{make_url(postgres_copy).database}"
    execute(
        postgres_copy,
        f"CREATE ROLE \"{role}\" LOGIN PASSWORD 'of the tests'",
        f'GRANT SELECT ON book TO "{role}"',
    )
    try:
        url = make_url(postgres_copy).set(username=role, password="of the tests")
        client = make_app(url.render_as_string(hide_password=False)).test_client()
        assert client.get("/books").status_code == 200
        assert client.get("/products").status_code == 503
        assert client.post("/books", json=BOOK).status_code == 503
        assert any("permission denied for table product" in w for w in warnings_of(caplog))
        assert not any(record.exc_info for record in records_of(caplog))
        databases.close(client.application)
    finally:
        execute(postgres_copy, f'DROP OWNED BY "{role}"', f'DROP ROLE "{role}"')


def test_a_wrong_password_and_a_wrong_name_of_the_database_are_a_503(make_app, postgres_copy):
    url = make_url(postgres_copy)
    for wrong in (url.set(password="guess"), url.set(database="nowhere")):
        client = make_app(wrong.render_as_string(hide_password=False)).test_client()
        assert client.get("/books").status_code == 503
        assert client.get("/readyz").json["checks"]["database"] == "unavailable"


def test_a_file_that_is_no_database_is_a_503(make_app, tmp_path, caplog):
    (tmp_path / "it.db").write_text("this is no database, " * 100)
    client = make_app(f"sqlite:///{tmp_path / 'it.db'}").test_client()
    assert client.get("/books").status_code == 503
    assert not any(record.exc_info for record in records_of(caplog))


def test_a_bug_in_a_statement_stays_a_500(app, client):
    @app.get("/broken")
    def broken() -> str:
        with app.extensions["bookstall"].autocommit_engine.connect() as connection:
            connection.execute(text("SELEC 1"))
        return ""

    assert client.get("/broken").status_code == 500


@pytest.mark.parametrize(
    "command", ["keys list", "keys create x", "books load FILE", "products load FILE"]
)
def test_a_command_ends_with_one_line_and_1(make_app, empty_database, command, tmp_path):
    (tmp_path / "it.csv").write_text(ROWS)
    arguments = command.replace("FILE", str(tmp_path / "it.csv")).split()
    result = make_app(empty_database).test_cli_runner().invoke(args=arguments)
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if "make migrate" in line]
    assert "Traceback" not in result.stderr
    assert not isinstance(result.exception, SQLAlchemyError)


@pytest.mark.parametrize("command", ["db upgrade", "db current", "prepare", "keys list"])
def test_a_command_without_a_database_ends_with_one_line_and_1(command):
    done = subprocess.run(
        [sys.executable, "-m", "flask", *command.split()],
        env={
            "DATABASE_URL": "postgresql://u:secret@127.0.0.1:1/none",
            "SECRET_KEY": "a secret of the tests",
            "PYTHONPATH": str(ROOT),
        },
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: database unavailable: ")
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr
