from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from app.extensions import db
from bookreview.models import Review

WORDS = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}
TIME = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def reviews_at(app):
    """A factory of reviews created at the given times, in their order."""

    def make(book_id, *times):
        rows = [
            {**WORDS, "book_id": book_id, "created_at": time, "text": f"number {number}"}
            for number, time in enumerate(times)
        ]
        with app.app_context():
            db.session.execute(insert(Review), rows)
            db.session.commit()

    return make


def texts(client, path):
    return [review["text"] for review in client.get(path).json["items"]]


def test_a_new_review_is_returned_with_all_fields(client, book):
    emma = book()
    response = client.post(f"/books/{emma}/reviews", json=WORDS)
    assert response.status_code == 201
    made = response.json
    assert datetime.fromisoformat(made["created_at"]).tzinfo is not None
    assert {**made, "id": 1, "created_at": ""} == {
        **WORDS,
        "id": 1,
        "book_id": emma,
        "created_at": "",
    }
    assert client.get(f"/books/{emma}/reviews").json["items"] == [made]


def test_a_book_without_reviews_has_an_empty_list_and_no_average(client, book):
    emma = book()
    assert client.get(f"/books/{emma}/reviews").json == {"items": [], "next_cursor": None}
    assert client.get(f"/books/{emma}").json["average_rating"] is None


@pytest.mark.parametrize(
    ("ratings", "average"),
    [
        ((5,), 5.0),
        ((5, 4, 4), 4.33),
        ((1, 1, 2), 1.33),
        ((2, 2, 1), 1.67),
        # 17 / 8 = 2.125: both databases round the half up
        ((2, 2, 2, 2, 2, 2, 2, 3), 2.13),
        ((3, 3, 3, 3, 3, 3, 3, 4), 3.13),
    ],
)
def test_the_average_of_a_book_is_rounded_to_two_decimals(client, book, review, ratings, average):
    emma, other = book(), book()
    for rating in ratings:
        review(emma, rating=rating)
    shown = client.get(f"/books/{emma}").json
    assert (shown["review_count"], shown["average_rating"]) == (len(ratings), average)
    listed = client.get("/books").json["items"]
    assert [found["average_rating"] for found in listed] == [average, None]
    assert client.get(f"/books/{other}").json["review_count"] == 0


def test_the_newest_review_is_first(client, book, reviews_at):
    emma = book()
    reviews_at(emma, TIME, TIME + timedelta(microseconds=1), TIME - timedelta(days=1))
    assert texts(client, f"/books/{emma}/reviews") == ["number 1", "number 0", "number 2"]


def test_reviews_with_the_same_time_keep_their_order_across_pages(client, book, reviews_at):
    emma = book()
    reviews_at(emma, *[TIME] * 7)
    seen, path = [], f"/books/{emma}/reviews?limit=2"
    while path:
        response = client.get(path)
        seen += [review["text"] for review in response.json["items"]]
        cursor = response.json["next_cursor"]
        path = cursor and f"/books/{emma}/reviews?limit=2&cursor={cursor}"
    assert seen == [f"number {number}" for number in reversed(range(7))]


def test_times_have_microseconds_and_are_in_utc(client, book, reviews_at):
    emma = book()
    reviews_at(emma, TIME)
    shown = client.get(f"/books/{emma}/reviews").json["items"][0]
    assert shown["created_at"] == "2024-02-29T12:00:00.123456Z"


def test_a_review_belongs_only_to_its_book(client, book, review):
    emma, dune = book(), book()
    review(emma, text="of Emma")
    review(dune, text="of Dune")
    assert texts(client, f"/books/{dune}/reviews") == ["of Dune"]


def test_total_counts_the_reviews_of_the_book(client, book, review):
    emma, dune = book(), book()
    for _ in range(3):
        review(emma)
    review(dune)
    assert client.get(f"/books/{emma}/reviews?limit=1&include_total=true").json["total"] == 3


def test_a_review_of_an_unknown_book_is_not_found_and_not_stored(client, book):
    assert client.post("/books/7/reviews", json=WORDS).status_code == 404
    assert client.post(f"/books/{book()}/reviews", json=WORDS).status_code == 201


def test_long_text_keeps_its_lines(client, book):
    made = client.post(
        f"/books/{book()}/reviews", json={**WORDS, "text": "one\r\ntwo\n\n\tthree \n"}
    ).json
    assert made["text"] == "one\ntwo\n\n\tthree"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rating", 0),
        ("rating", 6),
        ("rating", 4.5),
        ("rating", "4.0"),
        ("rating", "4"),
        ("rating", True),
        ("rating", None),
        ("reviewer", ""),
        ("reviewer", " \u00a0 "),
        ("reviewer", "\u3164"),
        ("reviewer", "\u2800 \uffa0"),
        ("reviewer", "\u115f"),
        ("reviewer", "\u180e"),
        ("reviewer", "\U000e0041\U000e007f"),
        ("text", "\ufe0f\n\u200b"),
        ("reviewer", "x" * 101),
        ("reviewer", "a\nb"),
        ("text", ""),
        ("text", "x" * 10_001),
        ("text", "a\x07b"),
        ("text", "a\x00b"),
        ("text", 5),
        ("book_id", 1),
        ("id", 1),
    ],
)
def test_an_invalid_field_of_a_review_is_reported(shared_client, field, value):
    response = shared_client.post("/books/1/reviews", json={**WORDS, field: value})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == [f"/{field}"]


@pytest.mark.parametrize("raw", ["4.0", "4e0", "40e-1", "0.4e1"])
def test_a_rating_has_its_exact_value_in_any_notation(client, book, raw):
    body = f'{{"reviewer": "Ana", "text": "Good.", "rating": {raw}}}'
    url = f"/books/{book()}/reviews"
    response = client.post(url, data=body, content_type="application/json")
    assert (response.status_code, response.json["rating"]) == (201, 4)


def test_an_invalid_review_does_not_count(client, book):
    emma = book()
    client.post(f"/books/{emma}/reviews", json={**WORDS, "rating": 6})
    assert client.get(f"/books/{emma}").json["review_count"] == 0


def test_a_created_review_can_be_read_at_its_location(client, book):
    emma = book()
    assert client.get("/reviews/1").status_code == 404
    body = {"rating": 5, "reviewer": "Ana", "text": "Good."}
    created = client.post(f"/books/{emma}/reviews", json=body)
    assert created.headers["Location"] == f"/reviews/{created.json['id']}"
    assert client.get(created.headers["Location"]).json == created.json
