"""Lists of books in the cache: which writes leave them valid, and that none is ever stale."""

import secrets

import pytest

HIT = "bookstall; hit"
STORED = "bookstall; fwd=miss; stored"
REVIEW = {"rating": 5, "reviewer": "Ben", "text": "Again."}
LISTS = {
    "first": "/books?limit=1",
    "total": "/books?limit=1&include_total=true",
    "q": "/books?q=emma",
    "author": "/books?author=stoker",
    "empty": "/books?q=nothing",
}


@pytest.fixture
def settings(redis_url):
    """A key of the test's own, and so entries of its own: the database is used again."""
    return {"redis_url": redis_url, "secret_key": secrets.token_hex()}


@pytest.fixture
def app(make_app, database, settings):
    return make_app(database, **settings)


@pytest.fixture
def uncached(make_app, database, settings):
    """A client of a worker on the same database, without a cache."""
    return make_app(database, secret_key=settings["secret_key"]).test_client()


@pytest.fixture
def books(book):
    return [book(isbn="9780141439587"), book(title="Dracula", author="Bram Stoker")]


def load(app, path, kind, content):
    path.write_text(content)
    result = app.test_cli_runner().invoke(args=[kind, "load", str(path)])
    assert result.exit_code == 0, result.output


def check(client, uncached, write, changed):
    for path in LISTS.values():
        assert [client.get(path).headers["Cache-Status"] for _ in range(2)] == [STORED, HIT]
    write()
    for name, path in LISTS.items():
        response = client.get(path)
        assert response.json == uncached.get(path).json, path
        assert response.headers["Cache-Status"] == (STORED if name in changed else HIT), path


def test_a_review_invalidates_the_lists_that_show_its_book(client, uncached, books):
    path = f"/books/{books[1]}/reviews"
    check(client, uncached, lambda: client.post(path, json=REVIEW), {"author"})


def test_a_new_book_invalidates_all_lists(client, uncached, books, book):
    check(client, uncached, lambda: book(title="Emma and I"), set(LISTS))


def test_a_load_of_books_invalidates_all_lists(client, app, uncached, books, tmp_path):
    """A title that changes enters a search, or leaves one."""
    content = "title,author,isbn\nNothing,Jane Austen,9780141439587\n"
    write = lambda: load(app, tmp_path / "books.csv", "books", content)  # noqa: E731
    check(client, uncached, write, set(LISTS))


def test_a_load_of_reviews_invalidates_the_lists_that_show_their_books(
    client, app, uncached, books, tmp_path
):
    content = f"book_id,rating,reviewer,text\n{books[1]},1,Ben,No.\n"
    write = lambda: load(app, tmp_path / "reviews.csv", "reviews", content)  # noqa: E731
    check(client, uncached, write, {"author"})


def test_a_review_of_another_book_leaves_a_list_of_reviews_valid(client, books):
    path = f"/books/{books[0]}/reviews"
    client.get(path)
    client.post(f"/books/{books[1]}/reviews", json=REVIEW)
    assert client.get(path).headers["Cache-Status"] == HIT
    client.post(path, json=REVIEW)
    response = client.get(path)
    assert (response.headers["Cache-Status"], len(response.json["items"])) == (STORED, 1)


def test_graphql_reads_are_not_cached_and_show_the_last_write(client, books):
    query = {"query": "{ books { nodes { reviewCount } } }"}
    for count in range(3):
        nodes = client.post("/graphql", json=query).json["data"]["books"]["nodes"]
        assert [node["reviewCount"] for node in nodes] == [count, 0]
        client.post(f"/books/{books[0]}/reviews", json=REVIEW)
