"""Corrections of books and reviews: PATCH and DELETE, and what becomes of the counts."""

import pytest

from app.extensions import db
from bookreview.models import RATINGS

NO_STARS = {str(rating): 0 for rating in RATINGS}


def stars(**counts):
    return NO_STARS | {name.removeprefix("s"): count for name, count in counts.items()}


def counts(client, book_id):
    shown = client.get(f"/books/{book_id}").json
    return shown["review_count"], shown["average_rating"], shown["stars"]


def test_a_book_shows_how_many_reviews_have_each_rating(client, book, review):
    emma, other = book(), book()
    for rating in (5, 4, 5, 1):
        review(emma, rating=rating)
    assert counts(client, emma) == (4, 3.75, stars(s1=1, s4=1, s5=2))
    first, second = client.get("/books").json["items"]
    assert list(first["stars"]) == ["1", "2", "3", "4", "5"]
    assert first == client.get(f"/books/{emma}").json
    assert second["stars"] == client.get(f"/books/{other}").json["stars"] == NO_STARS


def test_a_correction_changes_the_fields_that_it_names(client, book):
    emma = book(isbn="9780141439587", published_year=1815)
    before = client.get(f"/books/{emma}")
    response = client.patch(f"/books/{emma}", json={"title": "  Emma, corrected "})
    after = {**before.json, "title": "Emma, corrected"}
    assert (response.status_code, response.json) == (200, after)
    read = client.get(f"/books/{emma}")
    assert read.json == after
    assert read.headers["ETag"] == response.headers["ETag"] == '"2"' != before.headers["ETag"]
    removed = client.patch(f"/books/{emma}", json={"isbn": None, "published_year": None}).json
    assert (removed["isbn"], removed["published_year"]) == (None, None)


def test_a_corrected_book_is_found_by_its_new_words_and_in_its_new_place(client, book):
    emma, other = book(title="Zebra"), book(title="Middle")
    client.patch(f"/books/{emma}", json={"title": "Ant", "author": "New Name"})
    titles = [item["id"] for item in client.get("/books?sort=title").json["items"]]
    assert titles == [emma, other]
    assert [b["id"] for b in client.get("/books?author=new%20name").json["items"]] == [emma]
    assert client.get("/books?q=zebra").json["items"] == []


def test_a_correction_that_changes_nothing_keeps_the_version(client, book):
    emma = book()
    response = client.patch(f"/books/{emma}", json={"title": "Emma"})
    assert (response.status_code, response.headers["ETag"]) == (200, '"1"')


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"title": None}, "/title"),
        ({"author": " "}, "/author"),
        ({"isbn": "123"}, "/isbn"),
        ({"published_year": 3000}, "/published_year"),
        ({"review_count": 7}, "/review_count"),
    ],
)
def test_an_invalid_correction_of_a_book_is_a_422(client, book, body, pointer):
    response = client.patch(f"/books/{book()}", json=body)
    assert response.status_code == 422
    assert pointer in [error["pointer"] for error in response.json["errors"]]


def test_an_isbn_of_another_book_is_a_conflict(client, book):
    book(isbn="9780141439587")
    emma = book(isbn="9780439023481")
    response = client.patch(f"/books/{emma}", json={"isbn": "978-0-14-143958-7", "title": "T"})
    assert response.status_code == 409
    assert "9780141439587" in response.json["detail"]
    assert client.get(f"/books/{emma}").json["title"] == "Emma"
    assert client.patch(f"/books/{emma}", json={"isbn": "9780439023481"}).status_code == 200


@pytest.mark.parametrize("kind", ["books", "reviews"])
@pytest.mark.parametrize("method", ["patch", "delete"])
def test_a_write_with_an_older_etag_changes_nothing(client, book, review, kind, method):
    emma = book()
    made = {"books": book, "reviews": lambda: review(emma)}[kind]()
    path, change = f"/{kind}/{made}", {"books": "author", "reviews": "text"}[kind]
    etag = client.get(path).headers["ETag"]
    changed = client.patch(path, json={change: "New"})
    body = {"json": {change: "Newer"}} if method == "patch" else {}
    response = client.open(path, method=method, headers={"If-Match": etag}, **body)
    assert response.status_code == 412
    assert client.get(path).json == changed.json
    headers = {"If-Match": f'"0", {changed.headers["ETag"]}'}
    assert client.open(path, method=method, headers=headers, **body).status_code < 300


def test_a_review_of_a_book_changes_its_etag(client, book, review):
    emma = book()
    etag = client.get(f"/books/{emma}").headers["ETag"]
    review(emma)
    headers = {"If-Match": etag}
    assert client.patch(f"/books/{emma}", json={"title": "T"}, headers=headers).status_code == 412
    assert client.get(f"/books/{emma}", headers={"If-None-Match": etag}).status_code == 200


@pytest.mark.parametrize("path", ["/books/99", "/reviews/99"])
def test_corrections_of_unknown_things_are_404s(client, path):
    assert client.delete(path).status_code == 404
    body = {"title": "T"} if "books" in path else {"rating": 1}
    assert client.patch(path, json=body).status_code == 404


def test_a_deleted_book_is_gone_and_its_id_is_never_used_again(client, book):
    emma = book(isbn="9780141439587")
    response = client.delete(f"/books/{emma}")
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers
    for path in (f"/books/{emma}", f"/books/{emma}/reviews"):
        assert client.get(path).status_code == 404
    assert client.get("/books").json["items"] == []
    assert client.delete(f"/books/{emma}").status_code == 404
    assert book(isbn="9780141439587") == emma + 1


def test_a_book_with_reviews_is_not_deleted(client, book, review):
    emma = book()
    shown = review(emma)
    assert client.delete(f"/books/{emma}").status_code == 409
    client.patch(f"/reviews/{shown}", json={"hidden": True})
    response = client.delete(f"/books/{emma}")
    assert response.status_code == 409
    assert "hidden" in response.json["detail"]
    assert client.delete(f"/reviews/{shown}").status_code == 204
    assert client.delete(f"/books/{emma}").status_code == 204


def test_a_corrected_rating_counts_and_a_corrected_text_does_not(client, book, review):
    emma = book()
    first = review(emma, rating=2)
    review(emma, rating=4)
    etag = client.get(f"/books/{emma}").headers["ETag"]
    response = client.patch(f"/reviews/{first}", json={"text": "One\nmore."})
    assert (response.json["text"], response.headers["ETag"]) == ("One\nmore.", '"2"')
    assert client.get(f"/books/{emma}").headers["ETag"] == etag
    response = client.patch(f"/reviews/{first}", json={"rating": 5})
    assert response.json == client.get(f"/reviews/{first}").json
    assert client.get(f"/books/{emma}/reviews").json["items"][1] == response.json
    assert counts(client, emma) == (2, 4.5, stars(s4=1, s5=1))


def test_a_deleted_review_no_longer_counts_and_its_id_is_never_used_again(client, book, review):
    emma = book()
    first, second = review(emma, rating=2), review(emma, rating=5)
    assert client.delete(f"/reviews/{second}").status_code == 204
    assert client.get(f"/reviews/{second}").status_code == 404
    assert counts(client, emma) == (1, 2.0, stars(s2=1))
    assert review(emma, rating=5) == second + 1
    client.delete(f"/reviews/{first}")
    client.delete(f"/reviews/{second + 1}")
    assert counts(client, emma) == (0, None, NO_STARS)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"rating": 6}, "/rating"),
        ({"rating": None}, "/rating"),
        ({"text": ""}, "/text"),
        ({"hidden": None}, "/hidden"),
        ({"hidden": "maybe"}, "/hidden"),
        ({"reviewer": "Bob"}, "/reviewer"),
    ],
)
def test_an_invalid_correction_of_a_review_is_a_422(client, book, review, body, pointer):
    response = client.patch(f"/reviews/{review(book())}", json=body)
    assert response.status_code == 422
    assert pointer in [error["pointer"] for error in response.json["errors"]]


def test_created_things_have_the_etag_with_which_they_can_be_corrected(client):
    made = client.post("/books", json={"title": "Emma", "author": "Jane Austen"})
    assert made.headers["ETag"] == client.get(made.headers["Location"]).headers["ETag"]
    words = {"rating": 3, "reviewer": "Ana", "text": "Good."}
    reviewed = client.post(f"{made.headers['Location']}/reviews", json=words)
    assert reviewed.headers["ETag"] == client.get(reviewed.headers["Location"]).headers["ETag"]
    headers = {"If-Match": reviewed.headers["ETag"]}
    path = reviewed.headers["Location"]
    assert client.patch(path, json={"rating": 1}, headers=headers).status_code == 200


def test_the_database_refuses_stars_that_do_not_add_up(app, client, book):
    emma = book()
    with app.app_context(), pytest.raises(Exception, match="stars_add_up"):
        db.session.connection().exec_driver_sql(
            f"UPDATE book SET stars_1 = 1, version = version + 1 WHERE id = {emma}"
        )
