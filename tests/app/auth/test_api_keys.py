"""API keys over HTTP: access, revocation, and secrecy."""

import logging
import time
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import event, text

from app.auth.api_keys import MISS_CACHE_SECONDS, new_token
from app.db.engine import autocommit_engine
from app.extensions import db
from app.http.route_options import options_of
from tests.app.auth.keys import BOOK, bearer, make_key, run_keys, set_clock

INVALID_TOKEN = 'Bearer realm="bookstall", error="invalid_token"'
UNKNOWN_TOKEN = new_token()[0]


@pytest.fixture
def strict_app(make_app: Callable[..., Flask], database: str) -> Flask:
    return make_app(database, require_api_key=True)


def test_if_keys_are_required_writes_need_one_and_reads_do_not(strict_app):
    client = strict_app.test_client()
    rejected = client.post("/books", json=BOOK)
    assert rejected.status_code == 401
    assert rejected.mimetype == "application/problem+json"
    assert rejected.headers["WWW-Authenticate"] == 'Bearer realm="bookstall"'
    assert rejected.json["request_id"] == rejected.headers["X-Request-ID"]
    for path in ("/books", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200, path
    assert client.get("/books").json["items"] == []


def test_a_key_allows_the_writes_of_its_scopes_only(strict_app):
    client = strict_app.test_client()
    books = bearer(make_key(strict_app, "books:write"))
    emma = client.post("/books", json=BOOK, headers=books)
    assert emma.status_code == 201
    review = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
    path = f"/books/{emma.json['id']}/reviews"
    rejected = client.post(path, json=review, headers=books)
    assert rejected.status_code == 403
    assert rejected.headers["WWW-Authenticate"] == (
        'Bearer realm="bookstall", error="insufficient_scope", scope="reviews:write"'
    )
    both = bearer(make_key(strict_app, "books:write", "reviews:write"))
    assert client.post(path, json=review, headers=both).status_code == 201


def test_if_keys_are_optional_writes_need_none_but_a_key_is_still_checked(app):
    client = app.test_client()
    assert client.post("/books", json=BOOK).status_code == 201
    assert client.post("/books", json=BOOK, headers=bearer(UNKNOWN_TOKEN)).status_code == 401
    reads = bearer(make_key(app))
    assert client.post("/books", json=BOOK, headers=reads).status_code == 403
    assert client.get("/books", headers=reads).status_code == 200


def test_the_scheme_is_case_insensitive(app):
    token = make_key(app)
    for scheme in ("bearer", "BEARER", "Bearer "):
        response = app.test_client().get("/books", headers={"Authorization": f"{scheme} {token}"})
        assert response.status_code == 200


def test_an_invalid_key_is_rejected_on_reads_and_cache_hits_too(make_app, database, fresh_redis):
    app = make_app(database, redis_url=fresh_redis)
    client = app.test_client()
    token = make_key(app)
    public = token[4:16]
    client.get("/books")
    assert client.get("/books", headers=bearer(token)).headers["Cache-Status"] == "bookstall; hit"
    invalid = [
        f"Bearer {UNKNOWN_TOKEN}",
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
    for value in invalid:
        response = client.get("/books", headers={"Authorization": value})
        assert response.status_code == 401, value
        assert response.headers["WWW-Authenticate"] == INVALID_TOKEN


def test_health_and_metrics_ignore_the_authorization_header(app):
    for path in ("/healthz", "/readyz", "/metrics"):
        response = app.test_client().get(path, headers={"Authorization": "Bearer of something"})
        assert response.status_code == 200


def test_every_worker_rejects_a_revoked_key_within_a_second(make_app, database, monkeypatch):
    apps = make_app(database), make_app(database)
    token = make_key(apps[0])
    for app in apps:
        assert app.test_client().get("/books", headers=bearer(token)).status_code == 200
    assert run_keys(apps[0], "revoke", token[4:16]).exit_code == 0
    set_clock(monkeypatch, 1)
    for app in apps:
        assert app.test_client().get("/books", headers=bearer(token)).status_code == 401


def test_every_worker_accepts_a_new_key_immediately(make_app, database):
    first, second = make_app(database), make_app(database)
    client = second.test_client()
    assert client.get("/books", headers=bearer(make_key(first))).status_code == 200
    token = make_key(first)
    time.sleep(MISS_CACHE_SECONDS)
    assert client.get("/books", headers=bearer(token)).status_code == 200


def test_many_unknown_keys_cause_few_queries(app):
    statements = []
    with app.app_context():
        for engine in (db.engine, autocommit_engine()):
            event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    client = app.test_client()
    began = time.monotonic()
    for _ in range(300):
        assert client.post("/books", json=BOOK, headers=bearer(new_token()[0])).status_code == 401
    assert len(statements) <= 2 * (1 + (time.monotonic() - began) / MISS_CACHE_SECONDS)


def test_neither_the_database_nor_the_log_nor_a_response_contains_the_secret(app, caplog):
    caplog.set_level(logging.DEBUG)
    client = app.test_client()
    token = make_key(app, "books:write")
    secret = token.split("_", 2)[2]  # it may contain underscores
    responses = [
        client.post("/books", json=BOOK, headers=bearer(token)),
        client.get("/books/9", headers=bearer(token)),
        client.get("/books", headers=bearer(token[:-1])),
    ]
    assert [response.status_code for response in responses] == [201, 404, 401]
    for response in responses:
        assert secret[:-1] not in response.text + str(response.headers)
    assert secret[:-1] not in run_keys(app, "list").output
    assert secret[:-1] not in caplog.text
    assert caplog.records
    with app.app_context(), db.engine.connect() as connection:
        row = connection.execute(text("SELECT * FROM api_key")).one()
    assert secret.encode() not in b" ".join(str(value).encode() for value in row)
    assert len(bytes(row.digest)) == 32


def test_if_the_keys_cannot_be_read_a_request_with_a_key_is_a_503(app):
    token = make_key(app)
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("ALTER TABLE api_key RENAME TO hidden"))
    try:
        response = app.test_client().get("/books", headers=bearer(token))
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        assert app.test_client().get("/books").status_code == 200
    finally:
        with app.app_context(), db.engine.begin() as connection:
            connection.execute(text("ALTER TABLE hidden RENAME TO api_key"))


def test_every_write_declares_a_scope_or_checks_access_itself(app):
    writes = [
        options_of(app.view_functions[rule.endpoint])
        for rule in app.url_map.iter_rules()
        if rule.methods and rule.methods - {"GET", "HEAD", "OPTIONS"}
    ]
    assert writes
    assert [o for o in writes if not (o.scope or o.checks_write_access_itself)] == []


@pytest.mark.parametrize("required", [True, False])
def test_the_openapi_document_shows_whether_an_operation_needs_a_key(
    make_app, sqlite_database, required
):
    client = make_app(sqlite_database, require_api_key=required).test_client()
    books = client.get("/openapi.json").json["paths"]["/books"]
    assert books["post"]["security"] == ([{"bearer": []}] if required else [])
    assert books["post"]["x-scope"] == "books:write"
    assert books["get"]["security"] == []
    assert {"401", "403"} <= books["post"]["responses"].keys()


def test_a_service_without_required_keys_logs_one_warning(serve, sqlite_database):
    open_service = serve(DATABASE_URL=sqlite_database, WEB_CONCURRENCY="2")
    open_service.request("GET", "/books")
    assert open_service.log.read_text().count("REQUIRE_API_KEY is false") == 1
    strict_app = serve(DATABASE_URL=sqlite_database, REQUIRE_API_KEY="true")
    assert "REQUIRE_API_KEY" not in strict_app.log.read_text()
