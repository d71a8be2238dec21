"""Idempotency-Key: a repeated POST is written once and returns the first response."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from app.auth.api_keys import MISS_CACHE_SECONDS
from app.extensions import db
from bookreview import services
from tests.app.api.idempotent_posts import (
    BOOK,
    REVIEW,
    count_books,
    count_stored_responses,
    execute,
    post,
)


def test_a_repeated_request_returns_the_first_response_and_writes_nothing(app, client):
    first, repeated = post(client), post(client)
    assert (first.status_code, repeated.status_code) == (201, 201)
    assert first.data == repeated.data
    for name in ("Location", "Content-Type", "Content-Length"):
        assert first.headers[name] == repeated.headers[name]
    assert "Idempotency-Replayed" not in first.headers
    assert repeated.headers["Idempotency-Replayed"] == "true"
    assert count_books(app) == 1


def test_the_first_response_is_replayed_even_if_the_book_has_changed_since(client, book):
    first = post(client)
    client.post(f"/books/{first.json['id']}/reviews", json=REVIEW)
    assert post(client).json["review_count"] == 0


def test_a_repeated_review_is_counted_once(client, book):
    emma = book()
    responses = [post(client, "r", f"/books/{emma}/reviews", REVIEW) for _ in range(3)]
    assert len({response.data for response in responses}) == 1
    assert client.get(f"/books/{emma}").json["review_count"] == 1


def test_requests_without_a_key_or_with_different_keys_are_all_written(app, client, book):
    emma = book()
    path = f"/books/{emma}/reviews"
    ids = {post(client, key, path, REVIEW).json["id"] for key in ("a", "b", "B")}
    ids |= {client.post(path, json=REVIEW).json["id"] for _ in range(2)}
    assert len(ids) == 5
    assert count_stored_responses(app) == 3


def test_a_key_that_is_reused_for_a_different_request_is_a_422(app, client, book):
    emma, other = book(), book()
    assert post(client, "k", f"/books/{emma}/reviews", REVIEW).status_code == 201
    for path, body in (
        (f"/books/{emma}/reviews", {**REVIEW, "rating": 5}),
        (f"/books/{other}/reviews", REVIEW),
        ("/books", BOOK),
    ):
        response = post(client, "k", path, body)
        assert (response.status_code, response.mimetype) == (422, "application/problem+json")
        assert "another request" in response.json["detail"]
    assert count_books(app) == 2


def test_the_same_key_of_two_clients_is_two_keys(app, client):
    created = app.test_cli_runner().invoke(args=["keys", "create", "one", "--scope", "books:write"])
    time.sleep(MISS_CACHE_SECONDS)
    headers = {"Idempotency-Key": "k", "Authorization": f"Bearer {created.stdout.strip()}"}
    body = {**BOOK, "isbn": None}
    keyed = client.post("/books", json=body, headers=headers)
    unkeyed = post(client, body=body)
    other_address = client.post(
        "/books",
        json=body,
        headers={"Idempotency-Key": "k"},
        environ_overrides={"REMOTE_ADDR": "192.0.2.1"},
    )
    assert len({response.json["id"] for response in (keyed, unkeyed, other_address)}) == 3
    assert client.post("/books", json=body, headers=headers).data == keyed.data


def test_a_failed_request_is_not_stored_and_can_be_corrected(app, client, book):
    invalid = post(client, body={**BOOK, "isbn": "978"})
    assert invalid.status_code == 422
    taken = book(isbn=BOOK["isbn"])
    assert post(client).status_code == 409
    assert post(client, "k", "/books/999/reviews", REVIEW).status_code == 404
    assert count_stored_responses(app) == 0
    assert post(client, body={**BOOK, "isbn": None}).status_code == 201
    assert client.get(f"/books/{taken}").status_code == 200


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "\xe9", "tab\there"])
def test_an_invalid_key_is_a_400(app, client, key):
    assert post(client, key).status_code == 400
    assert count_books(app) == 0


@pytest.mark.parametrize("key", ["x" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "!~"])
def test_any_visible_ascii_characters_are_a_valid_key(client, key):
    assert post(client, key).data == post(client, key).data


@pytest.mark.parametrize("statement", ["INSERT INTO outbox", "UPDATE first_answer"])
def test_if_a_statement_fails_nothing_is_stored_and_the_next_attempt_writes(app, client, statement):
    failing = [True]

    def fail(_connection: Any, _cursor: Any, executed: str, *_: Any) -> None:
        if failing and executed.startswith(statement):
            failing.clear()
            raise RuntimeError("injected")

    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", fail)
    assert post(client).status_code == 500
    assert not failing
    assert (count_books(app), count_stored_responses(app)) == (0, 0)
    assert post(client).status_code == 201
    assert (count_books(app), count_stored_responses(app)) == (1, 1)


def test_if_the_commit_fails_nothing_is_stored(app, client):
    failing = [True]

    def fail(_connection: Any) -> None:
        if failing:
            failing.clear()
            raise RuntimeError("injected")

    with app.app_context():
        event.listen(db.engine, "commit", fail)
    assert post(client).status_code == 500
    assert (count_books(app), count_stored_responses(app)) == (0, 0)
    assert post(client).status_code == 201


def test_a_service_that_rolls_back_and_continues_is_an_error(app, client, monkeypatch):
    derive = services.derive
    monkeypatch.setattr(services, "derive", lambda *a: db.session.rollback() or derive(*a))
    assert post(client).status_code == 500
    assert (count_books(app), count_stored_responses(app)) == (0, 0)


def test_after_a_day_a_key_can_be_used_again_and_old_responses_are_deleted(app, client):
    body = {**BOOK, "isbn": None}
    ids = [post(client, str(n), body=body).json["id"] for n in range(14)]
    execute(app, "UPDATE first_answer SET created_at = '2020-01-01 00:00:00'")
    again = post(client, "0", body=body)
    assert "Idempotency-Replayed" not in again.headers
    assert again.json["id"] not in ids
    assert count_stored_responses(app) == 4
    assert post(client, "0", body={"title": "x"}).status_code == 422
    post(client, "another", body=body)
    assert count_stored_responses(app) == 2


def test_a_response_is_stored_for_a_day(app, client):
    first = post(client)
    execute(
        app,
        "UPDATE first_answer SET created_at = datetime('now', '-86000 seconds')"
        if "sqlite" in app.config["SQLALCHEMY_DATABASE_URI"]
        else "UPDATE first_answer SET created_at = now() - interval '86000 seconds'",
    )
    assert post(client).data == first.data


def test_a_write_with_a_key_is_visible_to_cached_readers_immediately(
    make_app: Callable[..., Flask], sqlite_database, redis_url
):
    writer, reader = (
        make_app(sqlite_database, redis_url=redis_url).test_client() for _ in range(2)
    )
    emma = writer.post("/books", json=BOOK).json["id"]
    for number in range(5):
        assert reader.get(f"/books/{emma}").json["review_count"] == number
        post(writer, f"k{number}", f"/books/{emma}/reviews", REVIEW)


def test_the_openapi_document_lists_the_header_for_every_post(app):
    paths = app.test_client().get("/openapi.json").json["paths"].values()
    posts = [operations["post"] for operations in paths if "post" in operations]
    assert posts
    for operation in posts:
        assert "Idempotency-Key" in [p.get("name") for p in operation["parameters"]]
        assert "409" in operation["responses"]
