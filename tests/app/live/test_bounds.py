"""Who may be on the line, how long, and with how much: on a service that wants keys."""

import json
import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, insert, update
from websockets.exceptions import InvalidStatus

from app.auth.api_keys import TOKEN, ApiKey, new_token
from app.config import database_url
from app.db.types import now
from app.live.protocols import MAX_OPERATIONS

NAME = "{ __typename }"
ADD = """
mutation($book: ID!) { addReview(bookId: $book, rating: 5, reviewer: "Bea", text: "x") { id } }
"""
READS, WRITES = 60, 8
SHOP = "https://shop.example"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def database(migrated_sqlite, tmp_path_factory) -> str:
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("guarded") / "bookstall.db")
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def tokens(database) -> dict[str, list[str]]:
    """Keys by their scope, made before the service: a new one is known only after a moment."""
    made = {scope: [new_token() for _ in range(20)] for scope in ("", "reviews:write")}
    made["books:write"] = [new_token()]
    rows = [
        {"name": "test", "public": public, "digest": digest, "scopes": [scope] if scope else []}
        for scope, keys in made.items()
        for _, public, digest in keys
    ]
    write(database, insert(ApiKey).values(rows))
    return {scope: [token for token, _, _ in keys] for scope, keys in made.items()}


@pytest.fixture(scope="module")
def guarded(database, tokens, live_service) -> Any:
    """A service that wants keys, counts, and has a page on another site; of one worker, which
    counts alone."""
    with live_service(
        DATABASE_URL=database,
        WEB_CONCURRENCY="1",
        REQUIRE_API_KEY="true",
        ALLOWED_ORIGINS=SHOP,
        RATE_LIMIT_READ=f"{READS}/minute",
        RATE_LIMIT_WRITE=f"{WRITES}/minute",
    ) as server:
        yield server


def write(url: str, statement: Any) -> None:
    engine = create_engine(database_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(statement)


@pytest.fixture
def key(tokens) -> Callable[..., str]:
    """A factory of keys that nobody has used; returns the token."""
    return lambda scope="": tokens[scope].pop()


@pytest.fixture(scope="module")
def some_book(guarded, tokens) -> str:
    shown = {"Authorization": f"Bearer {tokens['books:write'].pop()}"}
    words = b'{"title": "Emma", "author": "Jane Austen"}'
    return str(json.loads(guarded.request("POST", "/books", words, **shown)[2])["id"])


def revoke(server: Any, token: str) -> None:
    public = TOKEN.fullmatch(token)[1]
    write(
        server.environment["DATABASE_URL"],
        update(ApiKey).where(ApiKey.public == public).values(revoked_at=now()),
    )


def test_without_a_key_nobody_comes_in(guarded, socket, stream):
    line = socket(guarded)
    line.send(type="connection_init")
    assert line.end() == (4403, "Forbidden")
    answer = stream(guarded)
    assert (answer.status, answer.header("Content-Type")) == (401, PROBLEM)
    assert answer.header("WWW-Authenticate") == 'Bearer realm="bookstall"'


def test_a_key_is_taken_by_either_way(guarded, socket, stream, key):
    token = key()
    bearer = {"Authorization": f"Bearer {token}"}
    assert socket(guarded).init(token).is_quiet()
    line = socket(guarded, headers=bearer)
    line.send(type="connection_init")
    assert line.next() == {"type": "connection_ack"}
    line = socket(guarded)
    line.send(type="connection_init", payload={"authorization": f"bearer {token}", "x": 1})
    assert line.next() == {"type": "connection_ack"}
    assert stream(guarded, NAME, headers=bearer).next()[0] == "next"


def test_what_the_init_shows_counts_more_than_the_header(guarded, socket, key):
    good, bad = f"Bearer {key()}", "Bearer wrong"
    line = socket(guarded, headers={"Authorization": bad})
    line.send(type="connection_init", payload={"Authorization": good})
    assert line.next() == {"type": "connection_ack"}
    line = socket(guarded, headers={"Authorization": good})
    line.send(type="connection_init", payload={"Authorization": bad})
    assert line.end()[0] == 4403


def test_a_revoked_key_is_let_in_no_more_and_its_lines_end(guarded, socket, stream, key, some_book):
    token, other = key(), key()
    line = socket(guarded).init(token).follow(book=some_book)
    stays = socket(guarded).init(other).follow(book=some_book)
    events = stream(guarded, headers={"Authorization": f"Bearer {token}"}, book=some_book)
    assert events.status == 200
    revoke(guarded, token)
    assert line.end() == (4403, "Forbidden")
    assert events.next() == ("the end", None)
    late = socket(guarded)
    late.send(type="connection_init", payload={"Authorization": f"Bearer {token}"})
    assert late.end() == (4403, "Forbidden")
    assert stays.is_quiet()


def test_a_write_on_the_line_needs_its_scope(guarded, socket, key, some_book):
    reader, writer = key(), key("reviews:write")
    found = socket(guarded).init(reader).answer(ADD, book=some_book)
    assert found["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert socket(guarded).init(writer).answer(ADD, book=some_book)["data"]["addReview"]["id"]


def test_queries_on_the_line_are_counted_as_reads(guarded, socket, stream, key):
    token = key()
    line = socket(guarded).init(token)
    for _ in range(READS):
        assert "errors" not in line.answer(NAME)
    line.ask(NAME)
    refused = line.failure()["extensions"]
    assert refused["code"] == "TOO_MANY_REQUESTS"
    assert refused["retryAfter"] >= 1
    assert line.is_quiet()  # and stays
    bearer = {"Authorization": f"Bearer {token}"}
    told = stream(guarded, NAME, headers=bearer).next()[1]
    assert told["errors"][0]["extensions"]["code"] == "TOO_MANY_REQUESTS"


def test_mutations_on_the_line_are_counted_as_writes(guarded, socket, key, some_book):
    line = socket(guarded).init(key("reviews:write"))
    codes = [line.answer(ADD, book=some_book).get("errors") for _ in range(WRITES + 1)]
    assert codes[:-1] == [None] * WRITES
    assert codes[-1][0]["extensions"]["code"] == "TOO_MANY_REQUESTS"


def test_a_line_has_so_many_operations_at_a_time_and_no_more(guarded, socket, key, some_book):
    line = socket(guarded).init(key())
    cursor = guarded.cursor()
    for number in range(MAX_OPERATIONS):
        line.follow(str(number), book=some_book, after=cursor)
    line.follow("too many", book=some_book, after=cursor)
    assert line.code("too many") == "TOO_MANY_REQUESTS"
    line.send(id="0", type="complete")
    line.follow("instead", book=some_book, after=cursor)
    assert line.is_quiet()


def test_introspection_on_the_line_needs_a_key_too(guarded, socket, key):
    line = socket(guarded).init(key())
    assert line.answer("{ __schema { queryType { name } } }")["data"]


def test_a_page_of_an_allowed_site_is_let_in(guarded, socket, stream, key):
    token = key()
    assert socket(guarded, origin=SHOP).init(token).is_quiet()
    headers = {"Authorization": f"Bearer {token}", "Origin": SHOP}
    assert stream(guarded, NAME, headers=headers).status == 200
    with pytest.raises(InvalidStatus):
        socket(guarded, origin=f"{SHOP}.evil.example")
    headers["Origin"] = "http://shop.example"
    assert stream(guarded, NAME, headers=headers).status == 403


def test_each_line_leaves_one_in_the_log(guarded, socket, key, until):
    line = socket(guarded, headers={"X-Request-ID": "a-line-of-mine"}).init(key())
    line.connection.close(1000)

    def told() -> Any:
        return re.findall(r"^.*a-line-of-mine.*$", guarded.log.read_text(), re.MULTILINE)

    (entry,) = until(told)
    assert json.loads(entry)["route"] == "/graphql"
    assert json.loads(entry)["message"].startswith("socket ")
