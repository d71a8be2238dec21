"""A fault of ours, and a database that goes away and comes back."""

import signal
import time

import psutil
import pytest
from sqlalchemy import event, text

from app.db import timeouts as patience
from app.db.engine import unbegun
from app.extensions import db
from stack.servers import Postgres

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
def faulty(app):
    """The service with a fault of its own, met by every read of the database."""

    def fault(*_):
        raise ZeroDivisionError("a secret of our insides")

    with app.app_context():
        engines = db.engine, unbegun()
    for engine in engines:
        event.listen(engine, "before_cursor_execute", fault)
    yield app.test_client()
    for engine in engines:
        event.remove(engine, "before_cursor_execute", fault)


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/books"), ("GET", "/books/1"), ("POST", "/books")]
)
def test_a_fault_of_ours_is_a_500_that_tells_nothing_of_it(faulty, caplog, method, path):
    answer = faulty.open(path, method=method, json={"title": "T", "author": "A"})
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "a secret of our insides" in caplog.text


def test_after_a_fault_the_service_goes_on(app, faulty):
    assert faulty.get("/books").status_code == 500
    assert faulty.get("/healthz").status_code == 200


def test_a_table_that_is_not_as_it_should_be_is_our_fault(broken):
    answer = broken.get("/books")
    assert answer.status_code == 500
    assert "tytle" not in answer.text
    assert "SELECT" not in answer.text


@pytest.fixture(scope="module")
def mortal():
    with Postgres() as server:
        yield server


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_database_that_comes_back_is_used_again_without_a_restart(
    mortal, make_app, migrated_by, end
):
    url = mortal.new_database(f"mortal_{end}")
    migrated_by(url)
    client = make_app(url).test_client()
    made = client.post("/books", json={"title": "Emma", "author": "Jane Austen"})
    assert made.status_code == 201

    getattr(mortal, end)()
    began = time.monotonic()
    for answer in (
        client.get("/books"),
        client.get("/books/1"),
        client.get("/books/1/reviews"),
        client.post("/books", json={"title": "T", "author": "A"}),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.mimetype == "application/problem+json"
        assert "127.0.0.1" not in answer.text
    assert client.get("/readyz").status_code == 503
    assert client.get("/readyz").json["checks"]["database"] == "away"
    assert client.get("/healthz").status_code == 200
    assert client.get("/openapi.json").status_code == 200
    assert time.monotonic() - began < 5

    mortal.start()
    assert client.get("/books/1").json == made.json
    assert client.post("/books", json={"title": "T", "author": "A"}).status_code == 201
    assert client.get("/readyz").status_code == 200


def test_connections_that_died_while_idle_are_noticed_before_a_request_meets_them(
    mortal, make_app, migrated_by
):
    url = mortal.new_database("idle")
    migrated_by(url)
    client = make_app(url).test_client()
    assert client.get("/books").status_code == 200
    time.sleep(1.1)  # as long as a connection is trusted without being asked
    mortal.stop()
    mortal.start()
    assert client.get("/books").status_code == 200


def test_a_database_that_hangs_is_given_up_and_used_again_when_it_goes_on(
    make_app, migrated_by, monkeypatch
):
    monkeypatch.setattr(patience, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(patience, "CONNECT_SECONDS", 0.5)
    with Postgres() as server:
        migrated_by(server.url)
        client = make_app(server.url).test_client()
        assert client.get("/books").status_code == 200
        of_all_processes(server, signal.SIGSTOP)
        try:
            for answer in (client.get("/books"), client.post("/books", json=EMMA)):
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) > 0
            assert client.get("/readyz").status_code == 503
        finally:
            of_all_processes(server, signal.SIGCONT)
        assert client.get("/books").status_code == 200
        assert client.post("/books", json=EMMA).status_code == 201


def of_all_processes(server, number):
    postmaster = psutil.Process(server.pid)
    for process in (postmaster, *postmaster.children(recursive=True)):
        process.send_signal(number)
