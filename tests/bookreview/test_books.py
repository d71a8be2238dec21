from functools import partial
from threading import Barrier, Thread

import pytest

from tests.waiting import served


@pytest.fixture
def titles(client):
    """A search that returns the titles of the books found."""

    def find(**query):
        response = client.get("/books", query_string=query)
        assert response.status_code == 200, response.json
        return [found["title"] for found in response.json["items"]]

    return find


def test_a_new_book_is_returned_with_all_fields_and_its_location(client):
    response = client.post(
        "/books",
        json={"title": "Emma", "author": "Jane Austen", "isbn": None, "published_year": 1815},
    )
    assert response.status_code == 201
    made = response.json
    assert made["created_at"].endswith("Z")
    assert {**made, "created_at": ""} == {
        "id": made["id"],
        "title": "Emma",
        "author": "Jane Austen",
        "isbn": None,
        "published_year": 1815,
        "review_count": 0,
        "stars": {"1": 0, "2": 0, "3": 0, "4": 0, "5": 0},
        "average_rating": None,
        "created_at": "",
    }
    assert response.headers["Location"] == f"/books/{made['id']}"
    assert client.get(response.headers["Location"]).json == made


def test_isbn_and_year_are_optional(client):
    made = client.post("/books", json={"title": "Emma", "author": "Jane Austen"}).json
    assert (made["isbn"], made["published_year"]) == (None, None)


def test_several_books_may_have_no_isbn(book, titles):
    book()
    book()
    assert titles() == ["Emma", "Emma"]


def test_text_is_stored_without_outer_space_and_in_composed_form(client, book):
    emile = book(title="  E\u0301mile ", author=" Rousseau")
    made = client.get(f"/books/{emile}").json
    assert (made["title"], made["author"]) == ("\u00c9mile", "Rousseau")


@pytest.mark.parametrize("year", [-5000, -800, 0, 2100])
def test_a_year_may_be_before_the_common_era(client, book, year):
    assert client.get(f"/books/{book(published_year=year)}").json["published_year"] == year


@pytest.mark.parametrize("raw", ["1815.0", "1815.00e0", "1.815e3", "18150e-1"])
def test_a_year_has_its_exact_value_in_any_notation(client, raw):
    body = f'{{"title": "Emma", "author": "Jane Austen", "published_year": {raw}}}'
    response = client.post("/books", data=body, content_type="application/json")
    assert (response.status_code, response.json["published_year"]) == (201, 1815)


@pytest.mark.parametrize("year", [-5001, 2101, "1815", "1815.0", 1815.5, 1e300, True, [1815]])
def test_a_year_out_of_bounds_or_of_another_type_is_rejected(shared_client, year):
    response = shared_client.post(
        "/books", json={"title": "T", "author": "A", "published_year": year}
    )
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == ["/published_year"]


def test_all_invalid_fields_are_reported_together(client):
    response = client.post("/books", json={"title": "", "isbn": "1", "pages": 9, "a/b~c": 1})
    assert response.status_code == 422
    assert {error["pointer"] for error in response.json["errors"]} == {
        "/title",
        "/author",
        "/isbn",
        "/pages",
        "/a~1b~0c",
    }
    assert {error["in"] for error in response.json["errors"]} == {"body"}


@pytest.mark.parametrize(("field", "maximum"), [("title", 500), ("author", 1000)])
def test_text_may_be_as_long_as_its_limit(client, field, maximum):
    words = {"title": "T", "author": "A"}
    assert client.post("/books", json={**words, field: "x" * maximum}).status_code == 201
    assert client.post("/books", json={**words, field: "x" * (maximum + 1)}).status_code == 422


def test_an_existing_isbn_is_a_conflict_in_any_spelling(client, book):
    book(isbn="0-439-02348-3")
    response = client.post("/books", json={"title": "T", "author": "A", "isbn": "9780439023481"})
    assert response.status_code == 409
    assert "9780439023481" in response.json["detail"]


def test_the_service_works_after_a_conflict(client, book, titles):
    book(isbn="9780439023481")
    client.post("/books", json={"title": "T", "author": "A", "isbn": "9780439023481"})
    book(title="Next")
    assert titles() == ["Emma", "Next"]


def test_one_of_several_simultaneous_books_with_the_same_isbn_is_created(app):
    started, statuses = Barrier(6), []

    def add():
        body = {"title": "T", "author": "A", "isbn": "0439023483"}
        send = partial(app.test_client().post, "/books", json=body)
        started.wait()
        statuses.append(served(send).status_code)

    threads = [Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, *[409] * 5]


@pytest.mark.parametrize("path", ["/books/1", "/books/2147483647", "/books/1/reviews"])
def test_an_unknown_book_is_not_found(client, path):
    response = client.get(path)
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"
    assert response.json["detail"].startswith("There is no book")


def test_q_searches_title_and_author(book, titles):
    book(title="Emma", author="Jane Austen")
    book(title="Austenland", author="Shannon Hale")
    book(title="Dune", author="Frank Herbert")
    assert titles(q="austen") == ["Emma", "Austenland"]


def test_author_searches_only_the_author(book, titles):
    book(title="Emma", author="Jane Austen")
    book(title="Austenland", author="Shannon Hale")
    assert titles(author="AUSTEN") == ["Emma"]


def test_a_search_does_not_match_across_title_and_author(book, titles):
    book(title="Emma", author="Jane Austen")
    assert titles(q="Emma Jane") == []
    assert titles(q="EmmaJane") == []


def test_filters_are_combined_with_and(book, titles):
    book(title="Emma", author="Jane Austen", isbn="9780439023481")
    book(title="Persuasion", author="Jane Austen")
    assert titles(q="emma", author="austen") == ["Emma"]
    assert titles(q="persuasion", isbn="9780439023481") == []


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("\u00c9mile", "\u00e9MILE"),
        ("\u00c9mile", "E\u0301mile"),
        ("Stra\u00dfe", "STRASSE"),
        ("\u0416\u0438\u0432\u0430\u0433\u043e", "\u0416\u0418\u0412\u0410"),
        ("\u039f\u03b4\u03cd\u03c3\u03c3\u03b5\u03b9\u03b1\u03c2", "\u0395\u0399\u0391\u03a3"),
        ("\U00010400 of Deseret", "\U00010428"),
    ],
)
def test_a_search_ignores_case_in_every_script(book, titles, title, query):
    book(title=title)
    book(title="Another")
    assert titles(q=query) == [title]


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("\u03a4\u03b1\u0390\u03b6\u03c9", "\u03a4\u0391\u0399\u0308\u0301\u0396\u03a9"),
        ("No\u00a0break here", "no break"),
        ("Hy\u00adphen\u00ada\u00adtion", "hyphenation"),
        ("Zero\u200bwidth\ufeff", "zerowidth"),
        ("Thin\u2009space\u202fand  two", "thin space and two"),
        ("The Pilgrim\u2019s Progress", "pilgrim's"),
        ("Catch\u201122", "catch-22"),
    ],
)
def test_a_title_is_found_by_plain_text_and_by_its_own_spelling(book, titles, title, query):
    book(title=title, author=f"{title} II")
    book(title="Another")
    assert titles(q=query) == titles(q=title) == titles(q=title.upper()) == [title]
    assert titles(author=query) == titles(author=title) == [title]


@pytest.mark.parametrize("query", ["\u00ad", "\u200b", "\u3164", "\u2800", "\ufe0f \u202e"])
def test_a_search_for_what_nobody_can_see_is_rejected(client, query):
    for name in ("q", "author"):
        response = client.get("/books", query_string={name: query})
        assert response.status_code == 422
        assert response.json["errors"][0]["pointer"] == f"/{name}"


@pytest.mark.parametrize("mark", ["%", "_", "\\", "/", "'", '"', "\\%", "/_"])
def test_every_character_of_a_search_is_literal(book, titles, mark):
    book(title=f"a{mark}b", author=f"c{mark}d")
    book(title="axb ayyb", author="cxd cyyd")
    assert titles(q=f"a{mark}b") == [f"a{mark}b"]
    assert titles(author=f"c{mark}d") == [f"a{mark}b"]


@pytest.mark.parametrize(
    "spelling",
    [
        *("9780439023481", "978-0-439-02348-1", "0439023483", "0-439-02348-3"),
        "\u200e978\u20110\u2013439\u00a002348\u20091",
    ],
)
def test_a_book_is_found_by_its_isbn_in_any_spelling(book, titles, spelling):
    book(title="Found", isbn="9780439023481")
    book(title="Another")
    assert titles(isbn=spelling) == ["Found"]


def test_the_total_counts_all_matches_and_only_on_request(client, book):
    for title in ("Emma", "Emma", "Emma", "Dune"):
        book(title=title)
    counted = client.get("/books?q=emma&limit=2&include_total=true").json
    assert (len(counted["items"]), counted["total"]) == (2, 3)
    assert "total" not in client.get("/books?q=emma&limit=2&include_total=false").json
    assert client.get("/books?q=nothing&include_total=true").json["total"] == 0
