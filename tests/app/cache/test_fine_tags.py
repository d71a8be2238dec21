"""Fine tags in Redis: entries of a full, flushed or shared Redis, and what a hit hands over."""

import time

import pytest

from app.cache.response_cache import VERSION_BYTES
from app.cache.tags import ALL
from app.services import services_of
from tests.app.cache.steps import (
    BOOK,
    HIT,
    STORED,
    add_review,
    cache_status,
    execute,
    review_count,
)
from tests.waiting import wait_until

PATH = "/books?limit=1"


@pytest.fixture
def books(book):
    """Two books; the list shows the first one only."""
    return [book(), book()]


def key_of_entry(server):
    (key,) = execute(server, "KEYS", "*:e:*")
    return key


def look_up(app, server):
    """Return what the cache knows of the list."""
    key = key_of_entry(server).decode().rpartition(":")[2]
    return services_of(app).cache.responses.get(key, ["books"])


def test_a_hit_hands_over_the_tags_and_versions_under_which_it_is_valid(
    server, worker, client, books
):
    cache_status(client, PATH)
    versions, found = look_up(worker, server)
    assert found.guard_tags == ("books", ALL)
    assert found.guard_versions == versions
    assert found.fine_tags == ("books:members", f"book:{books[0]}", ALL)
    assert len(found.fine_versions) == len(found.fine_tags) * VERSION_BYTES
    assert found.run_id == services_of(worker).redis.connection().run_id
    stored = [
        execute(server, "GET", f"bookstall:{found.run_id}:t:{tag}") for tag in found.fine_tags
    ]
    assert b"".join(stored) == found.fine_versions


def test_a_hit_by_its_fine_tags_has_the_present_versions_of_its_guards(
    server, worker, client, books
):
    cache_status(client, PATH)
    before, first = look_up(worker, server)
    add_review(client, books[1])
    versions, found = look_up(worker, server)
    assert found.response == first.response
    assert found.fine_versions == first.fine_versions
    assert found.guard_versions == versions != before


def test_a_response_without_fine_tags_hands_over_none(server, worker, client, books):
    cache_status(client, f"/books/{books[0]}")
    key = key_of_entry(server).decode().rpartition(":")[2]
    _, found = services_of(worker).cache.responses.get(key, [f"book:{books[0]}"])
    assert (found.fine_tags, found.fine_versions) == ((), b"")


def test_a_hit_expires_when_its_entry_does(server, worker, client, books):
    cache_status(client, PATH)
    execute(server, "PEXPIRE", key_of_entry(server), 100_000)
    before = time.monotonic()
    _, found = look_up(worker, server)
    assert found.expires_at <= time.monotonic() + 100
    assert found.expires_at > before + 40


def test_a_full_redis_still_serves_what_is_valid_by_its_fine_tags(server, worker, client, books):
    cache_status(client, PATH)
    cache_status(client, f"/books/{books[1]}")
    execute(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    execute(server, "CONFIG", "SET", "maxmemory", "1")
    add_review(client, books[1])  # deletes the guard, which nobody can create again
    assert cache_status(client, PATH) == HIT
    assert review_count(client, books[1]) == 1
    add_review(client, books[0])
    response = client.get(PATH)
    assert response.headers["Cache-Status"] == "bookstall; fwd=miss; detail=redis-full"
    assert response.json["items"][0]["review_count"] == 1


def test_redis_may_fill_up_during_the_query(server, client, books):
    cache_status(client, f"/books/{books[0]}")
    cache_status(client, "/books?q=nothing")  # creates the version of the guard
    execute(server, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    execute(server, "CONFIG", "SET", "maxmemory", "1")
    assert cache_status(client, PATH) == "bookstall; fwd=miss; detail=redis-full"
    execute(server, "CONFIG", "SET", "maxmemory", "0")
    assert cache_status(client, PATH) == STORED


def test_a_lost_version_of_a_row_causes_a_miss_once_a_guard_has_changed(server, client, books):
    cache_status(client, PATH)
    (key,) = execute(server, "KEYS", f"*:t:book:{books[0]}")
    execute(server, "DEL", key)
    assert cache_status(client, PATH) == HIT
    add_review(client, books[1])
    assert [cache_status(client, PATH) for _ in range(2)] == [STORED, HIT]


def test_a_tag_of_everything_invalidates_what_has_fine_tags_too(server, worker, client, books):
    cache_status(client, PATH)
    services_of(worker).cache.responses.invalidate([ALL])
    assert cache_status(client, PATH) == STORED


@pytest.mark.parametrize("kept", [0, VERSION_BYTES, 2 * VERSION_BYTES, 40, 60])
def test_a_damaged_entry_is_a_miss(server, client, books, kept):
    cache_status(client, PATH)
    key = key_of_entry(server)
    whole = execute(server, "GET", key)
    for rubbish in (b"", b"rubbish", b"\nrubbish", b"\x00\xff book:1 \n\n"):
        execute(server, "SET", key, whole[:kept] + rubbish)
        add_review(client, books[1])
        assert cache_status(client, PATH) == STORED


def test_the_reader_delivers_the_fine_tags_of_a_writer_without_redis(
    worker, make_app, database, books
):
    reader = worker.test_client()
    assert [cache_status(reader, PATH) for _ in range(2)] == [STORED, HIT]
    writer = make_app(database).test_client()
    add_review(writer, books[0])
    writer.post("/books", json=BOOK)
    wait_until(lambda: reader.get(PATH).json["items"][0]["review_count"] == 1)
