"""Writes of the release before corrections, whose workers run for a while on the new tables."""

import pytest
from sqlalchemy import text

from app.extensions import db
from bookreview.models import RATINGS

AT = "'2024-01-01 00:00:00'"
NEW_BOOK = (
    "INSERT INTO book (title, author, folded, review_count, rating_sum, created_at) "
    f"VALUES ('{{0}}', 'New Name', '{{1}}\nnew name', 0, 0, {AT})"
)
NEW_REVIEW = (
    "INSERT INTO review (book_id, rating, reviewer, text, created_at) "
    f"VALUES (1, {{}}, 'Ana', 'Good.', {AT})"
)
COUNT = (
    "UPDATE book SET review_count = review_count + {}, rating_sum = rating_sum + {} WHERE id = 1"
)


@pytest.fixture
def app(make_app, database):
    """Without a cache, which would not know of these writes."""
    return make_app(database, cache_memory_mib=0)


@pytest.fixture
def execute(app):
    """Execute statements in one transaction."""

    def run(*statements):
        with app.app_context(), db.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    return run


def stars(**counts):
    return {str(r): 0 for r in RATINGS} | {name[1:]: count for name, count in counts.items()}


def test_a_book_of_theirs_is_complete(client, execute):
    execute(NEW_BOOK.format("Zebra", "zebra"), NEW_BOOK.format("Ant", "ant"))
    response = client.get("/books/1")
    assert (response.json["stars"], response.headers["ETag"]) == (stars(), '"1"')
    assert [found["id"] for found in client.get("/books?sort=title").json["items"]] == [2, 1]
    execute("UPDATE book SET title = 'A', folded = 'a\nnew name' WHERE id = 1")
    assert client.get("/books/1").headers["ETag"] == '"2"'
    assert [found["id"] for found in client.get("/books?sort=title").json["items"]] == [1, 2]


def test_their_reviews_are_counted_before_they_are_inserted(client, book, review, execute):
    emma = book()
    review(emma, rating=2)
    execute(COUNT.format(1, 5), NEW_REVIEW.format(5))
    response = client.get("/books/1")
    assert response.json["stars"] == stars(s2=1, s5=1)
    assert (response.json["average_rating"], response.headers["ETag"]) == (3.5, '"3"')
    review(emma, rating=2)
    assert client.get("/books/1").json["stars"] == stars(s2=2, s5=1)


def test_their_loads_count_after_all_reviews_are_written(client, book, review, execute):
    review(book(), rating=2)
    execute(
        NEW_REVIEW.format(5),
        NEW_REVIEW.format(1),
        "UPDATE review SET rating = 4 WHERE id = 1",
        COUNT.format(2, 8),
    )
    assert client.get("/books/1").json["stars"] == stars(s1=1, s4=1, s5=1)
    assert client.get("/reviews/1").headers["ETag"] == '"2"'


def test_a_hidden_review_that_their_load_changes_is_still_not_counted(
    client, book, review, execute
):
    emma = book()
    review(emma, rating=1)
    review(emma, rating=2)
    client.patch("/reviews/1", json={"hidden": True})
    execute("UPDATE review SET rating = 3 WHERE id = 1", COUNT.format(0, 2))
    shown = client.get("/books/1").json
    assert (shown["review_count"], shown["average_rating"]) == (1, 2.0)
    client.patch("/reviews/1", json={"hidden": False})
    assert client.get("/books/1").json["stars"] == stars(s2=1, s3=1)
