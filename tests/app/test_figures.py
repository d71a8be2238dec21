"""GET /figures: the exact numbers of books, reviews and products."""

import pytest

PRODUCT = {"sku": "L-1", "name": "Lamp", "price": "9.90", "stock_level": 3}


def test_the_figures_count_what_was_added(client, book, review):
    assert client.get("/figures").json == {"books": 0, "reviews": 0, "products": 0}
    review(book())
    review(book())
    review(1)
    assert client.post("/products", json=PRODUCT).status_code == 201
    assert client.get("/figures").json == {"books": 2, "reviews": 3, "products": 1}


@pytest.fixture
def cached_client(make_app, sqlite_database, fresh_redis):
    """A client of the service with Redis, and with one book."""
    client = make_app(sqlite_database, redis_url=fresh_redis).test_client()
    client.post("/books", json={"title": "Dune", "author": "Frank Herbert"})
    return client


@pytest.mark.parametrize(
    ("path", "body", "changed"),
    [
        ("/books", {"title": "Emma", "author": "Jane Austen"}, "books"),
        ("/books/1/reviews", {"rating": 5, "reviewer": "Ana", "text": "Good."}, "reviews"),
        ("/products", PRODUCT, "products"),
    ],
)
def test_cached_figures_change_with_every_write(cached_client, path, body, changed):
    before = cached_client.get("/figures").json
    assert cached_client.get("/figures").headers["Cache-Status"] == "bookstall; hit"
    assert cached_client.post(path, json=body).status_code == 201
    assert cached_client.get("/figures").json == {**before, changed: before[changed] + 1}
