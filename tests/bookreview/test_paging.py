import re

import pytest


@pytest.fixture
def walk(client):
    """Follow the Link headers of a list; ``between`` is called after each page."""

    def go(path, between=lambda: None):
        seen = []
        while path:
            response = client.get(path)
            assert response.status_code == 200, response.json
            seen += [item["id"] for item in response.json["items"]]
            link = response.headers.get("Link")
            assert (link is None) == (response.json["next_cursor"] is None)
            path = link and re.fullmatch(r'<([^>]+)>; rel="next"', link)[1]
            between()
        return seen

    return go


@pytest.mark.parametrize("limit", [1, 2, 3, 6, 7, 100])
def test_pages_of_any_size_contain_each_book_once(book, walk, limit):
    created = [book() for _ in range(6)]
    assert walk(f"/books?limit={limit}") == created


def test_books_added_between_pages_are_at_the_end(book, walk):
    created = [book() for _ in range(5)]
    late = []
    seen = walk("/books?limit=2", between=lambda: len(late) < 3 and late.append(book()))
    assert seen == created + late


def test_reviews_added_between_pages_shift_nothing(book, review, walk):
    emma = book()
    created = [review(emma) for _ in range(7)]
    seen = walk(f"/books/{emma}/reviews?limit=2", between=lambda: review(emma))
    assert seen == created[::-1]


def test_a_full_last_page_has_no_next(client, book):
    for _ in range(4):
        book()
    first = client.get("/books?limit=2").json
    last = client.get(f"/books?limit=2&cursor={first['next_cursor']}")
    assert len(last.json["items"]) == 2
    assert last.json["next_cursor"] is None
    assert "Link" not in last.headers


def test_the_link_to_the_next_page_keeps_the_filters(book, walk):
    created = [book(title=f"50% & m\u00f6re {n}", author="A;B=C") for n in range(5)]
    book(title="Another")
    assert walk("/books?q=50%25+%26+m%C3%B6RE&author=a%3Bb%3Dc&limit=2") == created


def test_the_limit_may_change_between_pages(client, book):
    created = [book() for _ in range(6)]
    first = client.get("/books?limit=1").json
    rest = client.get(f"/books?limit=100&cursor={first['next_cursor']}").json
    assert [item["id"] for item in rest["items"]] == created[1:]


def test_a_page_has_twenty_items_by_default(client, book):
    for _ in range(21):
        book()
    response = client.get("/books").json
    assert len(response["items"]) == 20
    assert response["next_cursor"]


@pytest.fixture
def cursor(client, book, review):
    """A cursor of the list of books; the second book has reviews."""
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
def test_a_cursor_of_another_list_or_other_filters_is_rejected(client, cursor, path):
    response = client.get(path + cursor)
    assert response.status_code == 400
    assert "another list" in response.json["detail"]
    assert "SECRET_KEY" not in response.json["detail"]


def test_a_cursor_of_the_reviews_of_another_book_is_rejected(client, cursor, review):
    for _ in range(2):
        review(1)
    of_two = client.get("/books/2/reviews?limit=1").json["next_cursor"]
    assert client.get(f"/books/1/reviews?cursor={of_two}").status_code == 400


def test_a_cursor_of_a_service_with_another_secret_is_rejected(client, cursor, make_app, database):
    other = make_app(database, secret_key="another secret of the tests").test_client()
    response = other.get(f"/books?cursor={cursor}")
    assert response.status_code == 400
    assert "SECRET_KEY" in response.json["detail"]
    assert "first page" in response.json["detail"]
    assert "filters" not in response.json["detail"]
    assert client.get(f"/books?cursor={cursor}").status_code == 200


@pytest.mark.parametrize("cursor", ["", "x", "a.b", "\udc80", "x" * 5_000, "WzFd", "0" * 16 + "-1"])
def test_what_is_no_cursor_is_rejected(client, cursor):
    response = client.get("/books", query_string={"cursor": cursor.encode("utf-8", "replace")})
    assert response.status_code == 400
    assert "not a cursor" in response.json["detail"]


def test_a_cursor_with_any_changed_character_is_rejected(client, cursor):
    for at in range(len(cursor)):
        changed = "A" if cursor[at] != "A" else "B"
        response = client.get(f"/books?cursor={cursor[:at]}{changed}{cursor[at + 1 :]}")
        assert response.status_code == 400, at


@pytest.mark.parametrize("added", ["\u200b", "\u00e9", "=", "==", "!", " ", "\n", "."])
def test_a_cursor_with_added_characters_is_rejected(client, cursor, added):
    for changed in (f"{cursor}{added}", f"{added}{cursor}", f"{cursor[:9]}{added}{cursor[9:]}"):
        response = client.get("/books", query_string={"cursor": changed})
        assert response.status_code == 400, changed


def test_the_link_of_a_path_with_two_slashes_names_no_other_host(client, book):
    for _ in range(2):
        book()
    response = client.get("/books?limit=1", environ_overrides={"PATH_INFO": "//books"})
    assert response.headers["Link"].startswith("</books?limit=1&cursor=")
    following = client.get(f"/books?cursor={response.json['next_cursor']}")
    assert following.status_code == 200
