from threading import Barrier, Thread

import pytest


@pytest.fixture
def titles(client):
    """What a search finds, by title."""

    def find(**query):
        answer = client.get("/books", query_string=query)
        assert answer.status_code == 200, answer.json
        return [found["title"] for found in answer.json["items"]]

    return find


def test_a_new_book_is_answered_whole_and_stands_where_location_says(client):
    answer = client.post(
        "/books",
        json={"title": "Emma", "author": "Jane Austen", "isbn": None, "published_year": 1815},
    )
    assert answer.status_code == 201
    made = answer.json
    assert made["created_at"].endswith("Z")
    assert {**made, "created_at": ""} == {
        "id": made["id"],
        "title": "Emma",
        "author": "Jane Austen",
        "isbn": None,
        "published_year": 1815,
        "review_count": 0,
        "average_rating": None,
        "created_at": "",
    }
    assert answer.headers["Location"] == f"/books/{made['id']}"
    assert client.get(answer.headers["Location"]).json == made


def test_isbn_and_year_may_be_left_out(client):
    made = client.post("/books", json={"title": "Emma", "author": "Jane Austen"}).json
    assert (made["isbn"], made["published_year"]) == (None, None)


def test_many_books_may_have_no_isbn(book, titles):
    book()
    book()
    assert titles() == ["Emma", "Emma"]


def test_text_is_kept_without_outer_space_and_composed(client, book):
    emile = book(title="  E\u0301mile ", author=" Rousseau")
    made = client.get(f"/books/{emile}").json
    assert (made["title"], made["author"]) == ("\u00c9mile", "Rousseau")


@pytest.mark.parametrize("year", [-5000, -800, 0, 2100])
def test_a_year_may_lie_before_the_common_era(client, book, year):
    assert client.get(f"/books/{book(published_year=year)}").json["published_year"] == year


@pytest.mark.parametrize("year", [-5001, 2101, "1815", 1815.0, 1815.5, True, [1815]])
def test_a_year_out_of_bounds_or_in_another_form_is_refused(shared_client, year):
    answer = shared_client.post(
        "/books", json={"title": "T", "author": "A", "published_year": year}
    )
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json["errors"]] == ["/published_year"]


def test_every_wrong_field_is_named_at_once(client):
    answer = client.post("/books", json={"title": "", "isbn": "1", "pages": 9, "a/b~c": 1})
    assert answer.status_code == 422
    assert {error["pointer"] for error in answer.json["errors"]} == {
        "/title",
        "/author",
        "/isbn",
        "/pages",
        "/a~1b~0c",
    }
    assert {error["in"] for error in answer.json["errors"]} == {"body"}


@pytest.mark.parametrize(("field", "most"), [("title", 500), ("author", 1000)])
def test_text_is_as_long_as_its_limit_and_no_longer(client, field, most):
    words = {"title": "T", "author": "A"}
    assert client.post("/books", json={**words, field: "x" * most}).status_code == 201
    assert client.post("/books", json={**words, field: "x" * (most + 1)}).status_code == 422


def test_an_isbn_that_is_taken_is_a_conflict_in_any_spelling(client, book):
    book(isbn="0-439-02348-3")
    answer = client.post("/books", json={"title": "T", "author": "A", "isbn": "9780439023481"})
    assert answer.status_code == 409
    assert "9780439023481" in answer.json["detail"]


def test_after_a_conflict_the_service_goes_on(client, book, titles):
    book(isbn="9780439023481")
    client.post("/books", json={"title": "T", "author": "A", "isbn": "9780439023481"})
    book(title="Next")
    assert titles() == ["Emma", "Next"]


def test_of_simultaneous_books_with_one_isbn_one_is_made(app):
    started, statuses = Barrier(6), []

    def add():
        client = app.test_client()
        started.wait()
        answer = client.post("/books", json={"title": "T", "author": "A", "isbn": "0439023483"})
        statuses.append(answer.status_code)

    threads = [Thread(target=add) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, *[409] * 5]


@pytest.mark.parametrize("path", ["/books/1", "/books/2147483647", "/books/1/reviews"])
def test_an_unknown_book_is_not_found(client, path):
    answer = client.get(path)
    assert answer.status_code == 404
    assert answer.mimetype == "application/problem+json"
    assert answer.json["detail"].startswith("There is no book")


def test_q_looks_into_title_and_author(book, titles):
    book(title="Emma", author="Jane Austen")
    book(title="Austenland", author="Shannon Hale")
    book(title="Dune", author="Frank Herbert")
    assert titles(q="austen") == ["Emma", "Austenland"]


def test_author_looks_into_the_author_alone(book, titles):
    book(title="Emma", author="Jane Austen")
    book(title="Austenland", author="Shannon Hale")
    assert titles(author="AUSTEN") == ["Emma"]


def test_no_search_reaches_over_from_the_title_into_the_author(book, titles):
    book(title="Emma", author="Jane Austen")
    assert titles(q="Emma Jane") == []
    assert titles(q="EmmaJane") == []


def test_filters_are_joined_by_and(book, titles):
    book(title="Emma", author="Jane Austen", isbn="9780439023481")
    book(title="Persuasion", author="Jane Austen")
    assert titles(q="emma", author="austen") == ["Emma"]
    assert titles(q="persuasion", isbn="9780439023481") == []


@pytest.mark.parametrize(
    ("title", "asked"),
    [
        ("\u00c9mile", "\u00e9MILE"),
        ("\u00c9mile", "E\u0301mile"),
        ("Stra\u00dfe", "STRASSE"),
        ("\u0416\u0438\u0432\u0430\u0433\u043e", "\u0416\u0418\u0412\u0410"),
        ("\u039f\u03b4\u03cd\u03c3\u03c3\u03b5\u03b9\u03b1\u03c2", "\u0395\u0399\u0391\u03a3"),
        ("\U00010400 of Deseret", "\U00010428"),
    ],
)
def test_case_does_not_matter_in_any_script(book, titles, title, asked):
    book(title=title)
    book(title="Another")
    assert titles(q=asked) == [title]


@pytest.mark.parametrize("mark", ["%", "_", "\\", "/", "'", '"', "\\%", "/_"])
def test_every_character_of_a_search_is_literal(book, titles, mark):
    book(title=f"a{mark}b", author=f"c{mark}d")
    book(title="axb ayyb", author="cxd cyyd")
    assert titles(q=f"a{mark}b") == [f"a{mark}b"]
    assert titles(author=f"c{mark}d") == [f"a{mark}b"]


@pytest.mark.parametrize(
    "spelling", ["9780439023481", "978-0-439-02348-1", "0439023483", "0-439-02348-3"]
)
def test_a_book_is_found_by_its_isbn_in_any_spelling(book, titles, spelling):
    book(title="Found", isbn="9780439023481")
    book(title="Another")
    assert titles(isbn=spelling) == ["Found"]


def test_total_counts_all_that_match_and_only_when_asked(client, book):
    for title in ("Emma", "Emma", "Emma", "Dune"):
        book(title=title)
    counted = client.get("/books?q=emma&limit=2&include_total=true").json
    assert (len(counted["items"]), counted["total"]) == (2, 3)
    assert "total" not in client.get("/books?q=emma&limit=2&include_total=false").json
    assert client.get("/books?q=nothing&include_total=true").json["total"] == 0
