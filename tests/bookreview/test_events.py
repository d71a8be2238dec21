"""The events of books and reviews: what each kind of write adds to the log."""

import json

import pytest

from app.extensions import db
from tests.app.events.steps import read_all, reader_of_new_events
from tests.app.loading.csv_load import load_command
from tests.bookreview.graphql_client import data

WORDS = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
NEW_BOOK = {"title": "Emma", "author": "Jane Austen", "isbn": "9780141439587"}


@pytest.fixture
def added(app):
    return reader_of_new_events(app)


@pytest.fixture
def emma(client, book, review, added):
    """A book with the review 1."""
    emma = book(**NEW_BOOK)
    review(emma)
    added()
    return emma


def patch_book(client, book_id):
    client.patch(f"/books/{book_id}", json={"title": "Persuasion", "author": "Jane Austen"})


def update_book(client, book_id):
    data(client, f"mutation {{ updateBook(id: {book_id}, publishedYear: 1815) {{ id }} }}")


def post_book(client, _):
    client.post("/books", json={"title": "Dracula", "author": "Bram Stoker"})


def post_book_with_key(client, _):
    for _ in range(2):
        body = {"title": "Dracula", "author": "Bram Stoker"}
        client.post("/books", json=body, headers={"Idempotency-Key": "k"})


def shown(client, path):
    response = client.get(path)
    assert response.status_code == 200
    return response.json


@pytest.mark.parametrize("write", [patch_book, update_book])
def test_a_changed_book_is_in_its_event_as_it_is_shown(client, emma, added, write):
    write(client, emma)
    assert added() == [("book.changed", f"book:{emma}", shown(client, f"/books/{emma}"))]


@pytest.mark.parametrize("write", [post_book, post_book_with_key])
def test_a_new_book_is_in_one_event(client, emma, added, write):
    write(client, emma)
    assert added() == [("book.created", "book:2", shown(client, "/books/2"))]


def post_review(client, book_id):
    return client.post(f"/books/{book_id}/reviews", json=WORDS).json["id"]


def post_review_with_key(client, book_id):
    headers = {"Idempotency-Key": "k"}
    path = f"/books/{book_id}/reviews"
    return [client.post(path, json=WORDS, headers=headers).json["id"] for _ in range(2)][1]


def add_review(client, book_id):
    fields = 'rating: 2, reviewer: "Ben", text: "Long."'
    mutation = f"mutation {{ addReview(bookId: {book_id}, {fields}) {{ id }} }}"
    return int(data(client, mutation)["addReview"]["id"])


@pytest.mark.parametrize("write", [post_review, post_review_with_key, add_review])
def test_a_new_review_is_one_event_and_none_of_its_book(app, client, emma, added, write):
    review_id = write(client, emma)
    expected = shown(client, f"/reviews/{review_id}")
    assert added() == [("review.created", f"book:{emma}:reviews", expected)]
    assert json.loads(read_all(app)[-1].context) == {"book_title": "Emma"}


@pytest.mark.parametrize(
    "body", [{"rating": 1}, {"text": "Twice."}, {"rating": 1, "hidden": False}]
)
def test_a_corrected_review_is_in_its_event_as_it_is_shown(client, emma, added, body):
    client.patch("/reviews/1", json=body)
    assert added() == [("review.changed", "review:1", shown(client, "/reviews/1"))]


def test_no_event_tells_what_a_hidden_review_says(client, emma, added):
    ids = {"id": 1, "book_id": emma}
    client.patch("/reviews/1", json={"hidden": True, "text": "Spam."})
    assert added() == [("review.hidden", "review:1", ids)]
    client.patch("/reviews/1", json={"text": "More spam."})
    assert added() == []
    client.patch("/reviews/1", json={"hidden": False, "text": "Good.", "rating": 5})
    assert added() == [("review.shown", "review:1", shown(client, "/reviews/1"))]
    data(client, "mutation { updateReview(id: 1, hidden: true) { id } }")
    client.delete("/reviews/1")
    assert added() == [("review.hidden", "review:1", ids), ("review.deleted", "review:1", ids)]


def test_what_is_deleted_is_in_its_event_by_id(client, emma, added, book):
    assert client.delete("/reviews/1").status_code == 204
    assert client.delete(f"/books/{emma}").status_code == 204
    assert added() == [
        ("review.deleted", "review:1", {"id": 1, "book_id": emma}),
        ("book.deleted", f"book:{emma}", {"id": emma}),
    ]
    other = book()
    added()
    data(client, f"mutation {{ deleteBook(id: {other}) }}")
    assert added() == [("book.deleted", f"book:{other}", {"id": other})]


@pytest.mark.parametrize(
    ("method", "path", "body", "if_match", "status"),
    [
        ("post", "/books", NEW_BOOK, None, 409),
        ("post", "/books", {**NEW_BOOK, "isbn": "978"}, None, 422),
        ("patch", "/books/1", {"title": "Emma"}, None, 200),
        ("patch", "/books/1", {"title": "Other"}, '"9"', 412),
        ("patch", "/books/2", {"isbn": NEW_BOOK["isbn"]}, None, 409),
        ("patch", "/books/9", {"title": "Other"}, None, 404),
        ("delete", "/books/1", None, None, 409),
        ("delete", "/books/9", None, None, 404),
        ("post", "/books/9/reviews", WORDS, None, 404),
        ("post", "/books/1/reviews", {**WORDS, "rating": 6}, None, 422),
        ("patch", "/reviews/1", {"rating": 4, "hidden": False}, None, 200),
        ("patch", "/reviews/1", {"rating": 1}, '"9"', 412),
        ("patch", "/reviews/9", {"rating": 1}, None, 404),
        ("delete", "/reviews/1", None, '"9"', 412),
        ("delete", "/reviews/9", None, None, 404),
    ],
)
def test_a_refused_or_repeated_write_is_no_event(  # noqa: PLR0917 - the columns of a table
    client, emma, book, added, method, path, body, if_match, status
):
    book()
    added()
    headers = {"If-Match": if_match} if if_match else {}
    response = client.open(path, method=method, json=body, headers=headers)
    assert response.status_code == status
    assert added() == []


def test_a_write_whose_commit_fails_is_no_event(app, client, emma, added, monkeypatch):
    def fail():
        raise RuntimeError("injected")

    with monkeypatch.context() as patch:
        patch.setattr(db.session, "commit", fail)
        assert client.post("/books", json={"title": "D", "author": "B"}).status_code == 500
    assert added() == []


BOOKS = "title,author,source_id\nEmma,Jane Austen,s1\nDracula,Bram Stoker,s2\n"
REVIEWS = "book_source_id,rating,reviewer,text,source_id\ns1,4,Ana,Good.,r1\ns2,3,Ben,Long.,r2\n"


def test_a_load_of_books_writes_an_event_for_each_row_that_is_new_or_differs(
    app, client, added, tmp_path
):
    load = load_command(app, "books", tmp_path / "books.csv")
    load(BOOKS)
    first, second = (shown(client, f"/books/{number}") for number in (1, 2))
    assert added() == [("book.created", "book:1", first), ("book.created", "book:2", second)]
    load(BOOKS)
    assert added() == []
    client.post("/books/2/reviews", json=WORDS)
    added()
    load(BOOKS.replace("Dracula", "Dracula's Guest") + ",nobody,s3\n")
    assert added() == [("book.changed", "book:2", shown(client, "/books/2"))]
    assert shown(client, "/books/2")["stars"]["4"] == 1


def test_a_load_of_reviews_writes_the_events_of_reviews(app, client, added, tmp_path):
    load_command(app, "books", tmp_path / "books.csv")(BOOKS)
    added()
    load = load_command(app, "reviews", tmp_path / "reviews.csv")
    load(REVIEWS)
    expected = [
        ("review.created", f"book:{number}:reviews", shown(client, f"/reviews/{number}"))
        for number in (1, 2)
    ]
    assert added() == expected
    contexts = [json.loads(event.context) for event in read_all(app)[-2:]]
    assert contexts == [{"book_title": "Emma"}, {"book_title": "Dracula"}]
    load(REVIEWS)
    assert added() == []
    load(REVIEWS.replace("Good", "Better") + "s9,1,Cy,Unknown book.,r9\n")
    assert added() == [("review.changed", "review:1", shown(client, "/reviews/1"))]
    client.patch("/reviews/2", json={"hidden": True})
    added()
    load(REVIEWS.replace("Good", "Better").replace("Long", "Very long"))
    assert added() == []
