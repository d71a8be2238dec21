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
    "title": "/books?sort=title&limit=1&year_to=1900",
    "average": "/books?sort=-average_rating&limit=1&year_to=1900",
    "count": "/books?sort=review_count&limit=1&year_to=1900",
    "rated": "/books?min_rating=4&year_to=1900",
}
BY_RATINGS = {"average", "count", "rated"}


@pytest.fixture
def settings(fresh_redis):
    """A key of the test's own, and so entries of its own: the database is used again."""
    return {"redis_url": fresh_redis, "secret_key": secrets.token_hex()}


@pytest.fixture
def app(make_app, database, settings):
    return make_app(database, **settings)


@pytest.fixture
def uncached(make_app, database, settings):
    """A client of a worker on the same database, without a cache."""
    return make_app(database, secret_key=settings["secret_key"]).test_client()


@pytest.fixture
def books(book):
    emma = book(isbn="9780141439587", published_year=1815)
    return [emma, book(title="Dracula", author="Bram Stoker", published_year=1897)]


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
    write = lambda: client.post(path, json=REVIEW)  # noqa: E731
    check(client, uncached, write, {"author", "title", *BY_RATINGS})


def test_a_changed_book_invalidates_all_lists(client, uncached, books):
    """Its title or year may move it in an order, into a filter or out of it."""
    path, change = f"/books/{books[1]}", {"title": "Nothing", "published_year": 1901}
    check(client, uncached, lambda: client.patch(path, json=change), set(LISTS))


@pytest.mark.parametrize("change", [{"rating": 1}, {"hidden": True}])
def test_a_changed_review_invalidates_the_lists_by_ratings(client, uncached, books, review, change):
    path = f"/reviews/{review(books[1])}"
    write = lambda: client.patch(path, json=change)  # noqa: E731
    check(client, uncached, write, {"author", "title", *BY_RATINGS})


def test_a_deleted_review_invalidates_the_lists_by_ratings(client, uncached, books, review):
    path = f"/reviews/{review(books[1])}"
    check(client, uncached, lambda: client.delete(path), {"author", "title", *BY_RATINGS})


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
    check(client, uncached, write, {"author", "title", *BY_RATINGS})


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


CORRECTIONS = [
    ("PATCH", "/books/1", {"title": "New"}),
    ("DELETE", "/books/2", None),
    ("POST", "/books/2/reviews", REVIEW),
    ("PATCH", "/reviews/1", {"text": "New."}),
    ("PATCH", "/reviews/1", {"rating": 1}),
    ("PATCH", "/reviews/1", {"hidden": True}),
    ("PATCH", "/reviews/2", {"hidden": False}),
    ("DELETE", "/reviews/1", None),
    ("DELETE", "/reviews/2", None),
]


@pytest.mark.parametrize("correction", CORRECTIONS)
def test_each_correction_is_seen_in_whatever_was_cached(
    client, uncached, books, review, correction
):
    """Review 1 is visible, and review 2 is hidden."""
    method, path, body = correction
    assert [review(books[0]), review(books[0])] == [1, 2]
    client.patch("/reviews/2", json={"hidden": True})
    paths = ["/books/1", "/books/2", "/books/1/reviews", "/books/2/reviews", "/reviews/1"]
    paths += ["/reviews/2", "/figures", *LISTS.values()]
    for read in paths * 2:
        client.get(read)
    assert client.open(path, method=method, json=body).status_code < 300
    for read in paths:
        cached, expected = client.get(read), uncached.get(read)
        assert cached.status_code == expected.status_code, read
        assert cached.headers.get("ETag") == expected.headers.get("ETag"), read
        if cached.status_code == 200:
            assert cached.json == expected.json, read
