"""Bugs, and databases that become unavailable and return."""

import signal
import time

import pytest
from sqlalchemy import event, text

from app.db import timeouts
from app.db.engine import autocommit_engine
from app.extensions import db
from stack.servers import Postgres
from tests.servers import signal_all_processes
from tests.waiting import shortest

EMMA = {"title": "Emma", "author": "Jane Austen"}


@pytest.fixture
def broken(app):
    """The service on a database with a column of another name."""
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE book RENAME COLUMN title TO tytle"))
    yield app.test_client()
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE book RENAME COLUMN tytle TO title"))


@pytest.fixture
def buggy(app):
    """The service with a bug that every statement triggers."""

    def fault(*_):
        raise ZeroDivisionError("internal details")

    with app.app_context():
        engines = db.engine, autocommit_engine()
    for engine in engines:
        event.listen(engine, "before_cursor_execute", fault)
    yield app.test_client()
    for engine in engines:
        event.remove(engine, "before_cursor_execute", fault)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/books"), ("GET", "/books/1"), ("POST", "/books")]
)
def test_a_bug_is_a_500_without_details(buggy, caplog, method, path):
    response = buggy.open(path, method=method, json={"title": "T", "author": "A"})
    assert response.status_code == 500
    assert response.mimetype == "application/problem+json"
    assert response.json["request_id"] == response.headers["X-Request-ID"]
    assert "internal details" not in response.text
    assert "Traceback" not in response.text
    assert "internal details" in caplog.text


def test_after_a_bug_the_service_continues(app, buggy):
    assert buggy.get("/books").status_code == 500
    assert buggy.get("/healthz").status_code == 200


def test_a_missing_column_is_a_503_without_details(broken):
    response = broken.get("/books")
    assert response.status_code == 503
    assert "title" not in response.json["detail"]
    assert "SELECT" not in response.text


@pytest.fixture(scope="module")
def own_postgres():
    with Postgres() as server:
        yield server


def seconds_without_a_database(client):
    began = time.monotonic()
    for response in (
        client.get("/books"),
        client.get("/books/1"),
        client.get("/books/1/reviews"),
        client.post("/books", json={"title": "T", "author": "A"}),
    ):
        assert response.status_code == 503
        assert int(response.headers["Retry-After"]) > 0
        assert response.mimetype == "application/problem+json"
        assert "127.0.0.1" not in response.text
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json["checks"]["database"] == "unavailable"
    assert client.get("/healthz").status_code == 200
    assert client.get("/openapi.json").status_code == 200
    return time.monotonic() - began


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_database_that_returns_is_used_again_without_a_restart(
    own_postgres, make_app, migrate, end
):
    url = own_postgres.new_database(f"mortal_{end}")
    migrate(url)
    client = make_app(url).test_client()
    created = client.post("/books", json={"title": "Emma", "author": "Jane Austen"})
    assert created.status_code == 201

    getattr(own_postgres, end)()
    assert shortest(lambda: seconds_without_a_database(client), 5) < 5

    own_postgres.start()
    assert client.get("/books/1").json == created.json
    assert client.post("/books", json={"title": "T", "author": "A"}).status_code == 201
    assert client.get("/readyz").status_code == 200


def test_connections_that_were_lost_while_idle_are_replaced_before_use(
    own_postgres, make_app, migrate
):
    url = own_postgres.new_database("idle")
    migrate(url)
    client = make_app(url).test_client()
    assert client.get("/books").status_code == 200
    time.sleep(1.1)  # longer than PRE_PING_AFTER_SECONDS
    own_postgres.stop()
    own_postgres.start()
    assert client.get("/books").status_code == 200


def test_a_database_that_hangs_times_out_and_is_used_again_when_it_continues(
    make_app, migrate, monkeypatch
):
    with Postgres() as server:
        migrate(server.url)
        client = make_app(server.url).test_client()
        assert client.get("/books").status_code == 200
        monkeypatch.setattr(timeouts, "RESPONSE_TIMEOUT", 0.5)
        monkeypatch.setattr(timeouts, "CONNECT_TIMEOUT", 0.5)
        signal_all_processes(server, signal.SIGSTOP)
        try:
            for response in (client.get("/books"), client.post("/books", json=EMMA)):
                assert response.status_code == 503
                assert int(response.headers["Retry-After"]) > 0
            assert client.get("/readyz").status_code == 503
        finally:
            monkeypatch.undo()
            signal_all_processes(server, signal.SIGCONT)
        assert client.get("/books").status_code == 200
        assert client.post("/books", json=EMMA).status_code == 201
