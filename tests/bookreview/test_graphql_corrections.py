"""Corrections by GraphQL: the same rules as in REST, through the same services."""

import pytest

from tests.app.auth.keys import bearer, make_key
from tests.bookreview.graphql_client import ADD, WORDS, code, data, error

TITLE = {"title": "Emma", "author": "Jane Austen"}
BOOK = "id title author isbn publishedYear reviewCount averageRating version stars { rating count }"
UPDATE_BOOK = f"""mutation($id: ID!, $title: String, $author: String, $isbn: String, $year: Int,
    $version: Int) {{ updateBook(id: $id, title: $title, author: $author, isbn: $isbn,
    publishedYear: $year, ifVersion: $version) {{ {BOOK} }} }}"""
DELETE_BOOK = "mutation($id: ID!, $version: Int) { deleteBook(id: $id, ifVersion: $version) }"
UPDATE_REVIEW = """mutation($id: ID!, $rating: Int, $text: String, $hidden: Boolean,
    $version: Int) { updateReview(id: $id, rating: $rating, text: $text, hidden: $hidden,
    ifVersion: $version) { id rating text hidden version bookTitle } }"""
DELETE_REVIEW = "mutation($id: ID!, $version: Int) { deleteReview(id: $id, ifVersion: $version) }"


def test_a_book_is_corrected(client, book, review):
    emma = book(isbn="9780141439587", published_year=1815)
    review(emma, rating=4)
    changed = data(client, UPDATE_BOOK, id=emma, title=" New ", isbn=None)["updateBook"]
    rest = client.get(f"/books/{emma}")
    assert changed == {
        "id": str(emma),
        "title": "New",
        "author": "Jane Austen",
        "isbn": None,
        "publishedYear": 1815,
        "reviewCount": 1,
        "averageRating": 4.0,
        "version": 3,
        "stars": [{"rating": n, "count": int(n == 4)} for n in range(1, 6)],
    }
    assert (rest.json["title"], rest.headers["ETag"]) == ("New", '"3"')
    listed = data(client, f"{{ books {{ nodes {{ {BOOK} }} }} }}")["books"]["nodes"]
    assert listed == [changed]


def test_a_review_is_corrected_hidden_and_shown(client, book, review):
    emma = book(title="Emma")
    number = review(emma, rating=1)
    changed = data(client, UPDATE_REVIEW, id=number, rating=3, text="New.")["updateReview"]
    assert changed == {
        "id": str(number),
        "rating": 3,
        "text": "New.",
        "hidden": False,
        "version": 2,
        "bookTitle": "Emma",
    }
    assert data(client, UPDATE_REVIEW, id=number, hidden=True)["updateReview"]["hidden"] is True
    assert client.get(f"/reviews/{number}").status_code == 404
    assert client.get(f"/books/{emma}").json["review_count"] == 0
    assert data(client, UPDATE_REVIEW, id=number, hidden=False)["updateReview"]["version"] == 4
    assert client.get(f"/books/{emma}").json["stars"]["3"] == 1


def test_books_and_reviews_are_deleted(client, book, review):
    emma = book()
    number = review(emma)
    assert code(client, DELETE_BOOK, id=emma) == "CONFLICT"
    assert data(client, DELETE_REVIEW, id=number) == {"deleteReview": str(number)}
    assert data(client, DELETE_BOOK, id=emma) == {"deleteBook": str(emma)}
    assert client.get(f"/books/{emma}").status_code == 404
    assert code(client, DELETE_REVIEW, id=number) == code(client, DELETE_BOOK, id=emma)


@pytest.mark.parametrize(
    ("mutation", "change"),
    [(UPDATE_BOOK, {"title": "T"}), (DELETE_BOOK, {}), (UPDATE_REVIEW, {"rating": 1})],
)
def test_another_version_is_a_failed_precondition(client, book, review, mutation, change):
    emma = book()
    if mutation is UPDATE_REVIEW:
        review(emma)
    assert code(client, mutation, id=1, version=7, **change) == "PRECONDITION_FAILED"
    data(client, mutation, id=1, version=1, **change)


@pytest.mark.parametrize("mutation", [UPDATE_BOOK, DELETE_BOOK, UPDATE_REVIEW, DELETE_REVIEW])
@pytest.mark.parametrize("unknown", ["99", "x", "-1"])
def test_unknown_ids_are_not_found(client, mutation, unknown):
    change = {"title": "T"} if "updateBook" in mutation else {"rating": 1}
    sent = change if "update" in mutation else {}
    assert code(client, mutation, id=unknown, **sent) == "NOT_FOUND"


@pytest.mark.parametrize(
    "case",
    [
        (UPDATE_BOOK, {}, ""),
        (UPDATE_BOOK, {"title": None}, "/title"),
        (UPDATE_BOOK, {"isbn": "1"}, "/isbn"),
        (UPDATE_BOOK, {"year": 2101}, "/publishedYear"),
        (UPDATE_REVIEW, {}, ""),
        (UPDATE_REVIEW, {"rating": 9}, "/rating"),
        (UPDATE_REVIEW, {"hidden": None}, "/hidden"),
    ],
)
def test_invalid_arguments_are_bad_user_input(client, book, review, case):
    mutation, change, pointer = case
    review(book())
    extensions = error(client, mutation, id=1, **change)["extensions"]
    assert extensions["code"] == "BAD_USER_INPUT"
    assert pointer in [found["pointer"] for found in extensions["errors"]]


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [("books:write", "book"), ("reviews:write", "rating"), ("reviews:moderate", "hidden")],
)
def test_each_mutation_needs_its_scope(app, client, scope, allowed):
    data(client, ADD, bookId=client.post("/books", json=TITLE).json["id"], **WORDS)
    headers = bearer(make_key(app, scope))
    mutations = {
        "book": (UPDATE_BOOK, {"title": "T"}),
        "rating": (UPDATE_REVIEW, {"rating": 2}),
        "hidden": (UPDATE_REVIEW, {"hidden": True}),
    }
    for name, (query, change) in mutations.items():
        body = {"query": query, "variables": {"id": 1, **change}}
        errors = client.post("/graphql", json=body, headers=headers).json.get("errors", [])
        codes = [found["extensions"]["code"] for found in errors]
        assert codes == ([] if name == allowed else ["FORBIDDEN"])
