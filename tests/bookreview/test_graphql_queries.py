"""Books and reviews in GraphQL: the same data and the same rules as in REST."""

import pytest

from tests.bookreview.graphql_client import (
    ADD,
    BOOK,
    REVIEW,
    WORDS,
    as_rest,
    ask,
    code,
    data,
    error,
)


def test_a_book_is_the_same_as_in_rest(client, book, review):
    emma = book(isbn="9780439023481", published_year=-300)
    for rating in (5, 4, 4):
        review(emma, rating=rating)
    shown = data(client, f"{{ book(id: {emma}) {{ {BOOK} }} }}")["book"]
    assert as_rest(shown) == client.get(f"/books/{emma}").json
    bare = book()
    shown = data(client, f"{{ book(id: {bare}) {{ {BOOK} }} }}")["book"]
    assert as_rest(shown) == client.get(f"/books/{bare}").json


def test_reviews_are_the_same_as_in_rest_in_every_field(client, book, review):
    emma = book()
    for number in range(3):
        review(emma, text=f"number {number}\n\u00e9\U0001f600")
    query = f"""query ($id: ID!) {{
        reviews(bookId: $id) {{ nodes {{ {REVIEW} }} edges {{ node {{ {REVIEW} }} }} }}
        book(id: $id) {{ reviews {{ nodes {{ {REVIEW} }} }} }}
    }}"""
    found = data(client, query, id=emma)
    rest = client.get(f"/books/{emma}/reviews").json["items"]
    assert [as_rest(review) for review in found["reviews"]["nodes"]] == rest
    assert [as_rest(edge["node"]) for edge in found["reviews"]["edges"]] == rest
    assert [as_rest(review) for review in found["book"]["reviews"]["nodes"]] == rest


def test_the_reviews_of_all_books_begin_with_the_last_added(client, book, review):
    emma, dune = book(title="Emma"), book(title="Dune")
    ids = [review(owner) for owner in (emma, dune, emma)]
    for argument in ("", "(bookId: null)"):
        query = f"{{ reviews{argument} {{ nodes {{ {REVIEW} bookTitle }} totalCount }} }}"
        found = data(client, query)["reviews"]
        assert [node.pop("bookTitle") for node in found["nodes"]] == ["Emma", "Dune", "Emma"]
        rest = [client.get(f"/reviews/{review_id}").json for review_id in reversed(ids)]
        assert [as_rest(node) for node in found["nodes"]] == rest
        assert found["totalCount"] == 3


def test_every_review_tells_the_title_of_its_book(client, book, review):
    emma = book(title="Emma")
    review(emma)
    titles = "nodes { bookTitle } edges { node { bookTitle } }"
    found = data(client, f"{{ reviews(bookId: {emma}) {{ {titles} }} }}")["reviews"]
    assert found == {"nodes": [{"bookTitle": "Emma"}], "edges": [{"node": {"bookTitle": "Emma"}}]}
    nested = data(client, f"{{ books {{ nodes {{ reviews {{ {titles} }} }} }} }}")["books"]
    assert nested["nodes"] == [{"reviews": found}]
    adding = ADD.replace("createdAt", "createdAt bookTitle")
    added = data(client, adding, bookId=str(emma), **WORDS)["addReview"]
    assert added["bookTitle"] == "Emma"


def test_books_are_filtered_as_in_rest(client, book):
    book(title="Emma", author="Jane Austen", isbn="9780439023481")
    book(title="100% Dune", author="Frank Herbert")
    query = """query ($q: String, $author: String, $isbn: String) {
        books(q: $q, author: $author, isbn: $isbn) { nodes { title } totalCount }
    }"""
    for filters, titles in [
        ({}, ["Emma", "100% Dune"]),
        ({"q": "austen"}, ["Emma"]),
        ({"q": "100%"}, ["100% Dune"]),
        ({"q": " emma "}, ["Emma"]),
        ({"author": "HERBERT"}, ["100% Dune"]),
        ({"isbn": "0-439-02348-3"}, ["Emma"]),
        ({"q": "emma", "author": "herbert"}, []),
        ({"q": None, "isbn": None}, ["Emma", "100% Dune"]),
    ]:
        books = data(client, query, **filters)["books"]
        assert [found["title"] for found in books["nodes"]] == titles, filters
        assert books["totalCount"] == len(titles)


@pytest.mark.parametrize("id_", ["7", "abc", "", "0", "-1", "07", "9" * 20, "1.0", "\ud800", " 1"])
def test_an_unknown_book_is_null_with_a_code(client, id_):
    response = ask(client, "query ($id: ID!) { book(id: $id) { id } }", id=id_)
    assert response["data"] == {"book": None}
    (error,) = response["errors"]
    assert error["extensions"] == {"code": "NOT_FOUND"}
    assert error["path"] == ["book"]
    query = "query ($id: ID!) { reviews(bookId: $id) { nodes { id } } }"
    assert code(client, query, id=id_) == "NOT_FOUND"
    assert code(client, ADD, bookId=id_, **WORDS) == "NOT_FOUND"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("first", 0),
        ("first", 101),
        ("first", -1),
        ("q", ""),
        ("q", "x" * 201),
        ("q", "a\x00b"),
        ("q", "\ud800"),
        ("author", " "),
        ("isbn", "978"),
        ("isbn", "\ud800"),
        ("minRating", 6),
    ],
)
def test_an_invalid_argument_of_a_list_is_named(shared_client, name, value):
    query = """query ($first: Int, $q: String, $author: String, $isbn: String, $minRating: Float) {
        books(first: $first, q: $q, author: $author, isbn: $isbn, minRating: $minRating) {
            nodes { id } } }"""
    extensions = error(shared_client, query, **{name: value})["extensions"]
    assert extensions["code"] == "BAD_USER_INPUT"
    assert [found["pointer"] for found in extensions["errors"]] == [f"/{name}"]
    assert {found["in"] for found in extensions["errors"]} == {"arguments"}


def test_null_for_first_is_the_default(client, book):
    book()
    assert len(data(client, "{ books(first: null) { nodes { id } } }")["books"]["nodes"]) == 1


def test_books_are_sorted_and_filtered_by_ratings_and_years_as_in_rest(client, book, review):
    for title, year, rating in (("Emma", 1815, 5), ("Dune", 1965, 4), ("Iliad", None, None)):
        book_id = book(title=title, published_year=year)
        if rating:
            review(book_id, rating=rating)
    query = """query ($sort: String, $least: Float, $from: Int, $to: Int, $after: String) {
        books(sort: $sort, minRating: $least, yearFrom: $from, yearTo: $to, first: 1, after: $after)
            { nodes { title } totalCount pageInfo { endCursor hasNextPage } } }"""
    for arguments, titles in [
        ({"sort": "-average_rating"}, ["Emma", "Dune", "Iliad"]),
        ({"sort": "-published_year"}, ["Dune", "Emma", "Iliad"]),
        ({"sort": "title", "least": 4.0}, ["Dune", "Emma"]),
        ({"sort": "-title", "from": 1800, "to": 1900}, ["Emma"]),
        ({"least": 4.25, "sort": None}, ["Emma"]),
    ]:
        found, after = [], None
        while True:
            page = data(client, query, after=after, **arguments)["books"]
            assert page["totalCount"] == len(titles)
            found += [node["title"] for node in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        assert found == titles, arguments
    for wrong in ({"sort": "isbn"}, {"least": 0.5}, {"least": 4.123}, {"from": 5_000}):
        assert code(client, query, **wrong) == "BAD_USER_INPUT"
