"""API keys: what they open, what they do not, and how fast a revoked one is dead."""

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event, text

from app.auth import commands as key_commands
from app.auth.api_keys import MISS_CACHE_SECONDS, new_token
from app.db.engine import autocommit_engine
from app.extensions import db
from app.http.route_options import options_of

BOOK = {"title": "Emma", "author": "Jane Austen"}
SAYS_WRONG = 'Bearer realm="bookstall", error="invalid_token"'
UNKNOWN = new_token()[0]


def run(app: Flask, *words: str) -> Any:
    return app.test_cli_runner().invoke(args=["keys", *words])


def make_key(app: Flask, *scopes: str) -> str:
    words = [word for name in scopes for word in ("--scope", name)]
    result = run(app, "create", "a test", *words)
    assert result.exit_code == 0, result.output
    time.sleep(MISS_CACHE_SECONDS)
    return str(result.stdout.strip())


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def until_refused(client: FlaskClient, token: str) -> float:
    began = time.monotonic()
    while client.get("/books", headers=bearing(token)).status_code == 200:
        assert time.monotonic() - began < 5
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.fixture
def strict(make_app: Callable[..., Flask], database: str) -> Flask:
    return make_app(database, require_api_key=True)


def test_where_keys_are_required_a_write_needs_one_and_reads_do_not(strict):
    client = strict.test_client()
    refused = client.post("/books", json=BOOK)
    assert refused.status_code == 401
    assert refused.mimetype == "application/problem+json"
    assert refused.headers["WWW-Authenticate"] == 'Bearer realm="bookstall"'
    assert refused.json["request_id"] == refused.headers["X-Request-ID"]
    for path in ("/books", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200, path
    assert client.get("/books").json["items"] == []


def test_a_key_opens_what_its_scopes_name_and_nothing_else(strict):
    client = strict.test_client()
    books = bearing(make_key(strict, "books:write"))
    emma = client.post("/books", json=BOOK, headers=books)
    assert emma.status_code == 201
    review = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
    path = f"/books/{emma.json['id']}/reviews"
    refused = client.post(path, json=review, headers=books)
    assert refused.status_code == 403
    assert refused.headers["WWW-Authenticate"] == (
        'Bearer realm="bookstall", error="insufficient_scope", scope="reviews:write"'
    )
    both = bearing(make_key(strict, "books:write", "reviews:write"))
    assert client.post(path, json=review, headers=both).status_code == 201


def test_where_keys_are_not_required_writes_pass_and_a_key_is_still_checked(app):
    client = app.test_client()
    assert client.post("/books", json=BOOK).status_code == 201
    assert client.post("/books", json=BOOK, headers=bearing(UNKNOWN)).status_code == 401
    reads = bearing(make_key(app))
    assert client.post("/books", json=BOOK, headers=reads).status_code == 403
    assert client.get("/books", headers=reads).status_code == 200


def test_the_scheme_is_read_in_any_case(app):
    token = make_key(app)
    for scheme in ("bearer", "BEARER", "Bearer "):
        answer = app.test_client().get("/books", headers={"Authorization": f"{scheme} {token}"})
        assert answer.status_code == 200


def test_a_key_that_is_no_good_is_refused_on_reads_too_hits_included(make_app, database, redis_url):
    app = make_app(database, redis_url=redis_url)
    client = app.test_client()
    token = make_key(app)
    public = token[4:16]
    client.get("/books")
    assert client.get("/books", headers=bearing(token)).headers["Cache-Status"] == "bookstall; hit"
    wrong = [
        f"Bearer {UNKNOWN}",
        f"Bearer bks_{public}_{'A' * 43}",
        f"Bearer {token[:-1]}",
        f"Bearer {token}x",
        f"Bearer {token} x",
        "Bearer",
        "Bearer \xe9\xff",
        token,
        "Basic YWJjOmRlZg==",
        "",
    ]
    for words in wrong:
        answer = client.get("/books", headers={"Authorization": words})
        assert answer.status_code == 401, words
        assert answer.headers["WWW-Authenticate"] == SAYS_WRONG


def test_probes_and_scrapers_may_send_what_they_like(app):
    for path in ("/healthz", "/readyz", "/metrics"):
        answer = app.test_client().get(path, headers={"Authorization": "Bearer of something"})
        assert answer.status_code == 200


def test_a_revocation_is_seen_by_every_worker_within_a_second(make_app, database):
    one, two = make_app(database), make_app(database)
    token = make_key(one)
    for app in (one, two):
        assert app.test_client().get("/books", headers=bearing(token)).status_code == 200
    assert run(one, "revoke", token[4:16]).exit_code == 0
    assert until_refused(two.test_client(), token) <= 1
    assert until_refused(one.test_client(), token) <= 1


def test_a_new_key_is_good_on_every_worker_at_once(make_app, database):
    one, two = make_app(database), make_app(database)
    client = two.test_client()
    assert client.get("/books", headers=bearing(make_key(one))).status_code == 200
    token = make_key(one)
    time.sleep(MISS_CACHE_SECONDS)
    assert client.get("/books", headers=bearing(token)).status_code == 200


def test_a_flood_of_wrong_keys_does_not_reach_the_database(app):
    asked = []
    with app.app_context():
        for engine in (db.engine, autocommit_engine()):
            event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    client = app.test_client()
    began = time.monotonic()
    for _ in range(300):
        assert client.post("/books", json=BOOK, headers=bearing(new_token()[0])).status_code == 401
    assert len(asked) <= 2 * (1 + (time.monotonic() - began) / MISS_CACHE_SECONDS)


def test_neither_the_database_nor_the_log_nor_an_answer_holds_the_secret(app, caplog):
    caplog.set_level(logging.DEBUG)
    client = app.test_client()
    token = make_key(app, "books:write")
    secret = token.rpartition("_")[2]
    answers = [
        client.post("/books", json=BOOK, headers=bearing(token)),
        client.get("/books/9", headers=bearing(token)),
        client.get("/books", headers=bearing(token[:-1])),
    ]
    assert [answer.status_code for answer in answers] == [201, 404, 401]
    for answer in answers:
        assert secret[:-1] not in answer.text + str(answer.headers)
    assert secret[:-1] not in run(app, "list").output
    assert secret[:-1] not in caplog.text
    assert caplog.records
    with app.app_context(), db.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM api_key")).one()
    assert secret.encode() not in b" ".join(str(value).encode() for value in row)
    assert len(bytes(row.digest)) == 32


def test_while_the_keys_cannot_be_read_a_presented_key_is_a_503(app):
    token = make_key(app)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE api_key RENAME TO hidden"))
    try:
        answer = app.test_client().get("/books", headers=bearing(token))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
        assert app.test_client().get("/books").status_code == 200
    finally:
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE hidden RENAME TO api_key"))


def test_a_list_tells_all_but_the_secret(app):
    token = make_key(app, "reviews:write", "books:write")
    listed = run(app, "list").stdout
    assert token[4:16] in listed
    assert "a test" in listed
    assert "books:write, reviews:write" in listed
    assert run(app, "revoke", token).exit_code == 0
    assert run(app, "list").stdout.count(":") > listed.count(":")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("create", "x", "--scope", "books:wriet"), "there is no scope 'books:wriet'"),
        (("create", " "), "printable characters"),
        (("create", "x" * 101), "printable characters"),
        (("create", "a\x1b[2Jb"), "printable characters"),
        (("revoke", "0123456789ab"), "no such key"),
        (("revoke", "nonsense"), "no such key"),
    ],
)
def test_a_command_that_makes_no_sense_is_refused(app, words, complaint):
    result = run(app, *words)
    assert result.exit_code != 0
    assert complaint in result.output
    assert run(app, "list").stdout.count("\n") == 1


def test_there_are_no_more_keys_than_a_process_can_hold(app, monkeypatch):
    monkeypatch.setattr(key_commands, "KEYS_MAX", 1)
    token = make_key(app)
    assert "revoke some" in run(app, "create", "another").output
    run(app, "revoke", token[4:16])
    make_key(app)


def test_every_write_declares_its_scope_or_that_it_admits_its_writes_itself(app):
    writes = [
        options_of(app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
        if rule.methods and rule.methods - {"GET", "HEAD", "OPTIONS"}
    ]
    assert writes
    assert [o for o in writes if not (o.scope or o.checks_write_access_itself)] == []


@pytest.mark.parametrize("required", [True, False])
def test_the_document_says_which_key_an_operation_needs(make_app, sqlite_database, required):
    client = make_app(sqlite_database, require_api_key=required).test_client()
    books = client.get("/openapi.json").json["paths"]["/books"]
    optional = [] if required else [{}]
    assert books["post"]["security"] == [*optional, {"bearer": []}]
    assert books["post"]["x-scope"] == "books:write"
    assert books["get"]["security"] == [{}, {"bearer": []}]
    assert {"401", "403"} <= books["post"]["responses"].keys()


def test_a_service_that_lets_anybody_write_says_so_once(serve, sqlite_database):
    open_to_all = serve(DATABASE_URL=sqlite_database, WEB_CONCURRENCY="2")
    open_to_all.request("GET", "/books")
    assert open_to_all.log.read_text().count("REQUIRE_API_KEY is false") == 1
    strict = serve(DATABASE_URL=sqlite_database, REQUIRE_API_KEY="true")
    assert "REQUIRE_API_KEY" not in strict.log.read_text()
