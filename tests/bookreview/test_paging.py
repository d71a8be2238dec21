import re

import pytest


@pytest.fixture
def walk(client):
    """Go through a list by its Link headers; ``between`` is called after each page."""

    def go(path, between=lambda: None):
        seen = []
        while path:
            answer = client.get(path)
            assert answer.status_code == 200, answer.json
            seen += [item["id"] for item in answer.json["items"]]
            link = answer.headers.get("Link")
            assert (link is None) == (answer.json["next_cursor"] is None)
            path = link and re.fullmatch(r'<([^>]+)>; rel="next"', link)[1]
            between()
        return seen

    return go


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
def test_pages_of_any_size_join_without_gap_or_repeat(book, walk, limit):
    made = [book() for _ in range(6)]
    assert walk(f"/books?limit={limit}") == made


def test_books_added_meanwhile_come_once_at_the_end(book, walk):
    made = [book() for _ in range(5)]
    late = []
    seen = walk("/books?limit=2", between=lambda: len(late) < 3 and late.append(book()))
    assert seen == made + late


def test_reviews_added_meanwhile_shift_nothing(book, review, walk):
    emma = book()
    made = [review(emma) for _ in range(7)]
    seen = walk(f"/books/{emma}/reviews?limit=2", between=lambda: review(emma))
    assert seen == made[::-1]


def test_a_full_last_page_has_no_next(client, book):
    for _ in range(4):
        book()
    first = client.get("/books?limit=2").json
    last = client.get(f"/books?limit=2&cursor={first['next_cursor']}")
    assert len(last.json["items"]) == 2
    assert last.json["next_cursor"] is None
    assert "Link" not in last.headers


def test_the_link_to_the_next_page_keeps_the_filters_as_they_were_sent(book, walk):
    made = [book(title=f"50% & m\u00f6re {n}", author="A;B=C") for n in range(5)]
    book(title="Another")
    assert walk("/books?q=50%25+%26+m%C3%B6RE&author=a%3Bb%3Dc&limit=2") == made


def test_the_page_may_change_its_size_on_the_way(client, book):
    made = [book() for _ in range(6)]
    first = client.get("/books?limit=1").json
    rest = client.get(f"/books?limit=100&cursor={first['next_cursor']}").json
    assert [item["id"] for item in rest["items"]] == made[1:]


def test_twenty_items_are_a_page_unless_another_number_is_asked_for(client, book):
    for _ in range(21):
        book()
    answer = client.get("/books").json
    assert len(answer["items"]) == 20
    assert answer["next_cursor"]


@pytest.fixture
def cursor(client, book, review):
    """A cursor into all books, of which the second has reviews as well."""
    for _ in range(3):
        book()
    for _ in range(3):
        review(2)
    return client.get("/books?limit=1").json["next_cursor"]


@pytest.mark.parametrize(
    "path",
    [
        "/books?q=emma&cursor=",
        "/books?author=austen&cursor=",
        "/books?isbn=9780439023481&cursor=",
        "/books/2/reviews?cursor=",
    ],
)
def test_a_cursor_of_another_list_or_other_filters_is_refused(client, cursor, path):
    answer = client.get(path + cursor)
    assert answer.status_code == 400
    assert "cursor" in answer.json["detail"]


def test_a_cursor_of_one_books_reviews_is_refused_by_another(client, cursor, review):
    for _ in range(2):
        review(1)
    of_two = client.get("/books/2/reviews?limit=1").json["next_cursor"]
    assert client.get(f"/books/1/reviews?cursor={of_two}").status_code == 400


def test_a_cursor_is_refused_by_a_service_with_another_secret(client, cursor, make_app, database):
    other = make_app(database, secret_key="another secret of the tests")
    assert other.test_client().get(f"/books?cursor={cursor}").status_code == 400
    assert client.get(f"/books?cursor={cursor}").status_code == 200


def test_a_cursor_that_was_tampered_with_is_refused_at_any_place(client, cursor):
    for at in range(len(cursor) - 1):  # the last character holds bits that no byte uses
        changed = "A" if cursor[at] != "A" else "B"
        answer = client.get(f"/books?cursor={cursor[:at]}{changed}{cursor[at + 1 :]}")
        assert answer.status_code == 400, at
