"""Idempotency-Key: sent twice, written once, also by two workers at the same moment."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text

from app.auth.api_keys import MISS_CACHE_SECONDS
from app.db.engine import LOCK_TIMEOUT_MS
from app.extensions import db
from bookreview import services

ROOT = Path(__file__).parents[3]
BOOK = {"title": "Emma", "author": "Jane Austen", "isbn": "9780439023481"}
REVIEW = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}


def post(client: FlaskClient, key: str = "k", path: str = "/books", body: Any = BOOK) -> Any:
    return client.post(path, json=body, headers={"Idempotency-Key": key})


def ask(app: Flask, statement: str) -> Any:
    with app.app_context(), db.engine.begin() as connection:
        result = connection.execute(text(statement))
        return result.scalar() if result.returns_rows else None


def books(app: Flask) -> int:
    return int(ask(app, "SELECT count(*) FROM book"))


def kept(app: Flask) -> int:
    return int(ask(app, "SELECT count(*) FROM first_answer"))


def test_the_same_request_again_gets_the_first_answer_and_writes_nothing(app, client):
    first, again = post(client), post(client)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.data == again.data
    for name in ("Location", "Content-Type", "Content-Length"):
        assert first.headers[name] == again.headers[name]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert books(app) == 1


def test_the_first_answer_stays_even_if_what_it_tells_of_has_changed(client, book):
    first = post(client)
    client.post(f"/books/{first.json['id']}/reviews", json=REVIEW)
    assert post(client).json["review_count"] == 0


def test_reviews_are_counted_once(client, book):
    emma = book()
    answers = [post(client, "r", f"/books/{emma}/reviews", REVIEW) for _ in range(3)]
    assert len({answer.data for answer in answers}) == 1
    assert client.get(f"/books/{emma}").json["review_count"] == 1


def test_without_a_key_or_with_another_everything_is_written_again(app, client, book):
    emma = book()
    path = f"/books/{emma}/reviews"
    ids = {post(client, key, path, REVIEW).json["id"] for key in ("a", "b", "B")}
    ids |= {client.post(path, json=REVIEW).json["id"] for _ in range(2)}
    assert len(ids) == 5
    assert kept(app) == 3


def test_a_key_that_comes_with_another_request_is_refused(app, client, book):
    emma, other = book(), book()
    assert post(client, "k", f"/books/{emma}/reviews", REVIEW).status_code == 201
    for path, body in (
        (f"/books/{emma}/reviews", {**REVIEW, "rating": 5}),
        (f"/books/{other}/reviews", REVIEW),
        ("/books", BOOK),
    ):
        answer = post(client, "k", path, body)
        assert (answer.status_code, answer.mimetype) == (422, "application/problem+json")
        assert "another request" in answer.json["detail"]
    assert books(app) == 2


def test_clients_do_not_meet_in_their_keys(app, client):
    created = app.test_cli_runner().invoke(args=["keys", "create", "one", "--scope", "books:write"])
    time.sleep(MISS_CACHE_SECONDS)
    headers = {"Idempotency-Key": "k", "Authorization": f"Bearer {created.stdout.strip()}"}
    body = {**BOOK, "isbn": None}
    known = client.post("/books", json=body, headers=headers)
    unknown = post(client, body=body)
    elsewhere = client.post(
        "/books",
        json=body,
        headers={"Idempotency-Key": "k"},
        environ_overrides={"REMOTE_ADDR": "192.0.2.1"},
    )
    assert len({answer.json["id"] for answer in (known, unknown, elsewhere)}) == 3
    assert client.post("/books", json=body, headers=headers).data == known.data


def test_what_was_refused_is_not_kept_and_can_be_put_right(app, client, book):
    wrong = post(client, body={**BOOK, "isbn": "978"})
    assert wrong.status_code == 422
    taken = book(isbn=BOOK["isbn"])
    assert post(client).status_code == 409
    assert post(client, "k", "/books/999/reviews", REVIEW).status_code == 404
    assert kept(app) == 0
    assert post(client, body={**BOOK, "isbn": None}).status_code == 201
    assert client.get(f"/books/{taken}").status_code == 200


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "\xe9", "tab\there"])
def test_a_key_that_is_none_is_a_400(app, client, key):
    assert post(client, key).status_code == 400
    assert books(app) == 0


@pytest.mark.parametrize("key", ["x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!~"])
def test_any_visible_ascii_is_a_key(client, key):
    assert post(client, key).data == post(client, key).data


@pytest.mark.parametrize("statement", ["INSERT INTO outbox", "UPDATE first_answer"])
def test_when_the_write_fails_nothing_is_kept_and_the_next_try_writes(app, client, statement):
    failing = [True]

    def fail(_c: Any, _cursor: Any, asked: str, *_: Any) -> None:
        if failing and asked.startswith(statement):
            failing.clear()
            raise RuntimeError("a bug")

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", fail)
    assert post(client).status_code == 500
    assert not failing
    assert (books(app), kept(app)) == (0, 0)
    assert post(client).status_code == 201
    assert (books(app), kept(app)) == (1, 1)


def test_when_the_commit_fails_nothing_is_kept(app, client):
    failing = [True]

    def fail(_c: Any) -> None:
        if failing:
            failing.clear()
            raise RuntimeError("a bug")

    with app.app_context():
        event.listen(db.engine, "commit", fail)
    assert post(client).status_code == 500
    assert (books(app), kept(app)) == (0, 0)
    assert post(client).status_code == 201


def test_a_service_that_rolls_back_and_goes_on_does_not_slip_through(app, client, monkeypatch):
    put = services.fold
    monkeypatch.setattr(services, "fold", lambda *a: db.session.rollback() or put(*a))
    assert post(client).status_code == 500
    assert (books(app), kept(app)) == (0, 0)


DYING_WRITER = """
import os, signal, sys
from app.api import idempotency
from app.config import Settings, database_url
from app.factory import create_app

keep = idempotency._keep
idempotency._keep = lambda *a: (keep(*a), os.kill(os.getpid(), signal.SIGKILL))
settings = Settings(database_url=database_url(sys.argv[1]), secret_key="any")
book = {"title": "Emma", "author": "Jane Austen"}
create_app(settings).test_client().post("/books", json=book, headers={"Idempotency-Key": "k"})
"""


def test_a_writer_killed_before_its_commit_leaves_nothing_in_the_way(app, client, database):
    died = subprocess.run([sys.executable, "-c", DYING_WRITER, database], check=False, cwd=ROOT)
    assert died.returncode == -signal.SIGKILL
    assert (books(app), kept(app)) == (0, 0)
    assert post(client).status_code == 201


def test_of_many_at_once_over_two_processes_one_writes_and_all_get_its_answer(serve, app, database):
    service = serve(DATABASE_URL=database, WEB_CONCURRENCY="2", RATE_LIMIT_WRITE="off")
    body = b'{"title": "Emma", "author": "Jane Austen", "isbn": "9780439023481"}'
    together = Barrier(8)

    def send(number: int) -> Any:
        together.wait()
        return service.request("POST", "/books", body, Idempotency_Key=f"k{number // 8}")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
        assert {status for status, _, _ in answers} == {201}
        assert len({answer for _, _, answer in answers}) == 1
        replayed = [headers["Idempotency-Replayed"] for _, headers, _ in answers]
        assert sorted(replayed, key=str) == [None, *["true"] * 7]
        # The ISBN is taken now: none of these may write, and none may hide the others' refusal.
        assert {status for status, _, _ in pool.map(send, range(8, 16))} == {409}
    assert (books(app), kept(app)) == (1, 1)


def test_who_waits_too_long_for_the_first_is_told_to_come_back(make_app, postgres_database):
    app = make_app(postgres_database)
    client = app.test_client()
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO first_answer (client, key, fingerprint, created_at)"
                " VALUES ('address 127.0.0.1', 'k', '', now())"
            )
        )
        began = time.monotonic()
        answer = post(client)
        assert (answer.status_code, answer.headers["Retry-After"]) == (409, "2")
        assert time.monotonic() - began < 2 * LOCK_TIMEOUT_MS / 1000
        connection.rollback()
    assert post(client).status_code == 201


def test_after_a_day_a_key_is_free_again_and_old_answers_go(app, client):
    body = {**BOOK, "isbn": None}
    ids = [post(client, str(n), body=body).json["id"] for n in range(14)]
    ask(app, "UPDATE first_answer SET created_at = '2020-01-01 00:00:00'")
    again = post(client, "0", body=body)
    assert "Idempotency-Replayed" not in again.headers
    assert again.json["id"] not in ids
    assert kept(app) == 4
    assert post(client, "0", body={"title": "x"}).status_code == 422
    post(client, "another", body=body)
    assert kept(app) == 2


def test_within_the_day_a_key_is_kept(app, client):
    first = post(client)
    ask(
        app,
        "UPDATE first_answer SET created_at = datetime('now', '-86000 seconds')"
        if "sqlite" in app.config["SQLALCHEMY_DATABASE_URI"]
        else "UPDATE first_answer SET created_at = now() - interval '86000 seconds'",
    )
    assert post(client).data == first.data


def test_a_write_with_a_key_is_seen_by_cached_readers_at_once(
    make_app: Callable[..., Flask], sqlite_database, redis_url
):
    one, two = (make_app(sqlite_database, redis_url=redis_url).test_client() for _ in range(2))
    emma = one.post("/books", json=BOOK).json["id"]
    for number in range(5):
        assert two.get(f"/books/{emma}").json["review_count"] == number
        post(one, f"k{number}", f"/books/{emma}/reviews", REVIEW)


def test_the_document_offers_the_header_on_every_post(app):
    paths = app.test_client().get("/openapi.json").json["paths"].values()
    posts = [operations["post"] for operations in paths if "post" in operations]
    assert posts
    for operation in posts:
        assert "Idempotency-Key" in [p.get("name") for p in operation["parameters"]]
        assert "409" in operation["responses"]
