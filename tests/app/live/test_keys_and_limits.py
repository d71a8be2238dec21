"""API keys, origins and limits of connections, on a service that requires keys."""

import json
import shutil
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, insert, update
from websockets.exceptions import InvalidStatus

from app.auth.api_keys import TOKEN, ApiKey, digest, new_token
from app.config import database_url
from app.db.types import now
from app.graphql.strawberry_adapter import MAX_OPERATIONS

NAME = "{ __typename }"
ADD = """
mutation($book: ID!) { addReview(bookId: $book, rating: 5, reviewer: "Bea", text: "x") { id } }
"""
READS, WRITES = 100, 8
SHOP = "https://shop.example"
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def database(migrated_sqlite, tmp_path_factory) -> str:
    path = shutil.copy(migrated_sqlite, tmp_path_factory.mktemp("guarded") / "bookstall.db")
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def tokens(database) -> dict[str, list[str]]:
    """Keys by their scope, made before the service: a new key is accepted only after a moment."""
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
    """A service with required keys, rate limits and an allowed origin; one worker, one count."""
    with live_service(
        DATABASE_URL=database,
        WEB_CONCURRENCY="1",
        REQUIRE_API_KEY="true",
        ALLOWED_ORIGINS=SHOP,
        RATE_LIMIT_READ=f"{READS}/hour",
        RATE_LIMIT_WRITE=f"{WRITES}/hour",
    ) as server:
        yield server


def write(url: str, statement: Any) -> None:
    engine = create_engine(database_url(url), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(statement)


@pytest.fixture
def key(tokens) -> Callable[..., str]:
    """A factory of unused keys; returns the token."""
    return lambda scope="": tokens[scope].pop()


@pytest.fixture(scope="module")
def some_book(guarded, tokens) -> str:
    headers = {"Authorization": f"Bearer {tokens['books:write'].pop()}"}
    document = b'{"title": "Emma", "author": "Jane Austen"}'
    return str(json.loads(guarded.request("POST", "/books", document, **headers)[2])["id"])


def revoke(server: Any, token: str) -> None:
    public = TOKEN.fullmatch(token)[1]
    write(
        server.environment["DATABASE_URL"],
        update(ApiKey).where(ApiKey.public == public).values(revoked_at=now()),
    )


def test_connections_without_a_key_are_rejected(guarded, websocket, stream):
    client = websocket(guarded)
    client.send(type="connection_init")
    assert client.wait_closed() == (4403, "Forbidden")
    response = stream(guarded)
    assert (response.status, response.header("Content-Type")) == (401, PROBLEM)
    assert response.header("WWW-Authenticate") == 'Bearer realm="bookstall"'


def test_a_key_is_accepted_in_connection_init_and_in_the_header(guarded, websocket, stream, key):
    token = key()
    bearer = {"Authorization": f"Bearer {token}"}
    assert websocket(guarded).init(token).is_quiet()
    client = websocket(guarded, headers=bearer)
    client.send(type="connection_init")
    assert client.next() == {"type": "connection_ack"}
    client = websocket(guarded)
    client.send(type="connection_init", payload={"authorization": f"bearer {token}", "x": 1})
    assert client.next() == {"type": "connection_ack"}
    assert stream(guarded, NAME, headers=bearer).next()[0] == "next"


def test_the_key_in_connection_init_overrides_the_header(guarded, websocket, key):
    good, bad = f"Bearer {key()}", "Bearer wrong"
    client = websocket(guarded, headers={"Authorization": bad})
    client.send(type="connection_init", payload={"Authorization": good})
    assert client.next() == {"type": "connection_ack"}
    client = websocket(guarded, headers={"Authorization": good})
    client.send(type="connection_init", payload={"Authorization": bad})
    assert client.wait_closed()[0] == 4403


def test_a_revoked_key_is_rejected_and_its_connections_are_closed(
    guarded, websocket, stream, key, some_book
):
    token, other = key(), key()
    client = websocket(guarded).init(token).subscribe(book=some_book)
    stays = websocket(guarded).init(other).subscribe(book=some_book)
    events = stream(guarded, headers={"Authorization": f"Bearer {token}"}, book=some_book)
    assert events.status == 200
    revoke(guarded, token)
    assert client.wait_closed() == (4403, "Forbidden")
    assert events.next() == ("end", None)
    late = websocket(guarded)
    late.send(type="connection_init", payload={"Authorization": f"Bearer {token}"})
    assert late.wait_closed() == (4403, "Forbidden")
    assert stays.is_quiet()


def test_connections_end_with_what_their_key_is_valid_for(
    guarded, websocket, stream, key, some_book
):
    stays = websocket(guarded).init(key()).subscribe(book=some_book)
    soon = now() + timedelta(seconds=1)
    expired, rotated = key(), key()
    sent = digest(rotated.split("_", 2)[2]).hex()
    old_secrets = [{"digest": sent, "expires_at": soon.isoformat()}]
    ends = {
        expired: {"expires_at": soon},
        rotated: {"digest": b"new", "old_secrets": old_secrets},
    }
    for token, values in ends.items():
        client = websocket(guarded).init(token).subscribe(book=some_book)
        events = stream(guarded, headers={"Authorization": f"Bearer {token}"}, book=some_book)
        assert events.status == 200
        of_token = update(ApiKey).where(ApiKey.public == token[4:16])
        write(guarded.environment["DATABASE_URL"], of_token.values(rotations=1, **values))
        assert client.wait_closed() == (4403, "Forbidden")
        assert events.next() == ("end", None)
    assert stays.is_quiet()


def test_a_mutation_on_a_websocket_needs_its_scope(guarded, websocket, key, some_book):
    reader, writer = key(), key("reviews:write")
    found = websocket(guarded).init(reader).execute(ADD, book=some_book)
    assert found["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert websocket(guarded).init(writer).execute(ADD, book=some_book)["data"]["addReview"]["id"]


def test_queries_on_a_websocket_are_counted_as_reads(guarded, websocket, stream, key):
    token = key()
    client = websocket(guarded).init(token)
    for _ in range(READS):
        assert "errors" not in client.execute(NAME)
    client.start(NAME)
    refused = client.error()["extensions"]
    assert refused["code"] == "TOO_MANY_REQUESTS"
    assert refused["retryAfter"] >= 1
    assert client.is_quiet()  # and stays
    bearer = {"Authorization": f"Bearer {token}"}
    response = stream(guarded, NAME, headers=bearer)
    assert (response.status, response.header("Content-Type")) == (429, PROBLEM)
    assert int(response.header("Retry-After")) >= 1
    assert response.header("RateLimit").startswith('"read";r=0;')


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_each_stream_counts_as_one_read_and_says_what_is_left(guarded, stream, key, accept):
    headers = {"Authorization": f"Bearer {key()}", "Accept": accept}
    left = [stream(guarded, NAME, headers=headers).header("RateLimit") for _ in range(2)]
    assert [value.partition(";t=")[0] for value in left] == [
        f'"read";r={READS - 1}',
        f'"read";r={READS - 2}',
    ]
    refused = stream(guarded, body=b"no JSON", headers={**headers, "Content-Type": "text/plain"})
    assert refused.status == 415
    assert refused.header("RateLimit").startswith(f'"read";r={READS - 3};')
    assert refused.header("RateLimit-Policy") == f'"read";q={READS};w=3600'


def test_a_subscription_that_others_follow_counts_as_one_read_too(guarded, stream, key, some_book):
    for _ in range(2):
        headers = {"Authorization": f"Bearer {key()}"}
        response = stream(guarded, headers=headers, book=some_book)
        assert response.header("RateLimit").startswith(f'"read";r={READS - 1};')


def test_mutations_on_a_websocket_are_counted_as_writes(guarded, websocket, key, some_book):
    client = websocket(guarded).init(key("reviews:write"))
    codes = [client.execute(ADD, book=some_book).get("errors") for _ in range(WRITES + 1)]
    assert codes[:-1] == [None] * WRITES
    assert codes[-1][0]["extensions"]["code"] == "TOO_MANY_REQUESTS"


def test_a_trial_of_limits_refuses_nothing_on_live_connections(
    database, live_service, websocket, stream
):
    limits = {"RATE_LIMIT_READ": "3/hour", "RATE_LIMIT_WRITE": "1/hour"}
    trial = {"RATE_LIMIT_TRIAL": "true", "WEB_CONCURRENCY": "1"}
    with live_service(DATABASE_URL=database, **limits, **trial) as server:
        _, _, body = server.request("POST", "/books", b'{"title": "Emma", "author": "Jane"}')
        book = str(json.loads(body)["id"])
        client = websocket(server).init()
        for _ in range(5):
            assert client.execute(NAME)["data"]
        for _ in range(3):
            assert client.execute(ADD, book=book)["data"]["addReview"]["id"]
        response = stream(server, NAME)
        assert (response.status, response.next()[0]) == (200, "next")
        assert response.header("RateLimit").startswith('"read";r=0;')
        assert response.header("Retry-After") is None
        _, _, page = server.request("GET", "/metrics")
        assert b'bookstall_rate_limited_total{kind="write",outcome="served"} 3.0' in page


def test_simultaneous_operations_on_a_connection_are_limited(guarded, websocket, key, some_book):
    client = websocket(guarded).init(key())
    cursor = guarded.cursor()
    for number in range(MAX_OPERATIONS):
        client.subscribe(str(number), book=some_book, after=cursor)
    client.subscribe("too many", book=some_book, after=cursor)
    assert client.error_code("too many") == "TOO_MANY_REQUESTS"
    client.send(id="0", type="complete")
    client.subscribe("instead", book=some_book, after=cursor)
    assert client.is_quiet()


def test_introspection_on_a_websocket_needs_a_key(guarded, websocket, key):
    client = websocket(guarded).init(key())
    assert client.execute("{ __schema { queryType { name } } }")["data"]


def test_an_allowed_origin_is_accepted(guarded, websocket, stream, key):
    token = key()
    assert websocket(guarded, origin=SHOP).init(token).is_quiet()
    headers = {"Authorization": f"Bearer {token}", "Origin": SHOP}
    assert stream(guarded, NAME, headers=headers).status == 200
    with pytest.raises(InvalidStatus):
        websocket(guarded, origin=f"{SHOP}.evil.example")
    headers["Origin"] = "http://shop.example"
    assert stream(guarded, NAME, headers=headers).status == 403


def test_each_closed_connection_writes_one_log_record(guarded, websocket, key, until):
    mine = "a-client-of-mine"
    client = websocket(guarded, headers={"X-Request-ID": mine}).init(key())
    client.connection.close(1000)

    def log_records() -> Any:
        return [record for record in guarded.records() if record.get("request_id") == mine]

    opened, entry = until(lambda: len(found := log_records()) == 2 and found)
    assert opened["message"] == "websocket opened"
    assert entry["route"] == "/graphql"
    assert entry["message"].startswith("websocket closed: ")
