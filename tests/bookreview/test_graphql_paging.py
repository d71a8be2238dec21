"""Connections: pages, cursors and the limit of requested items."""

import pytest

from app.api.pagination import PageRequest
from bookreview import search
from tests.bookreview.graphql_client import PAGE, ask, code, data


def walk(client, query, name, **variables):
    """Page through a list; return its nodes, page by page."""
    after, pages = None, []
    while True:
        page = data(client, query, after=after, **variables)[name]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        cursors = [edge["cursor"] for edge in page["edges"]]
        assert page["pageInfo"]["startCursor"] == (cursors[0] if cursors else None)
        assert page["pageInfo"]["endCursor"] == (cursors[-1] if cursors else None)
        pages.append([node["id"] for node in page["nodes"]])
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return pages


def test_paging_through_books_neither_skips_nor_repeats(client, book):
    ids = [str(book(title=f"Emma {number}")) for number in range(7)]
    query = f"""query ($after: String) {{
        books(first: 3, after: $after, q: "emma") {{
            totalCount nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE} }} }}"""
    assert walk(client, query, "books") == [ids[:3], ids[3:6], ids[6:]]


def test_paging_through_reviews_starts_with_the_newest(client, book, review):
    emma = book()
    ids = [str(review(emma)) for _ in range(6)][::-1]
    query = f"""query ($id: ID!, $after: String) {{
        reviews(bookId: $id, first: 2, after: $after) {{
            nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE} }} }}"""
    assert walk(client, query, "reviews", id=emma) == [ids[:2], ids[2:4], ids[4:]]


def test_paging_through_the_reviews_of_all_books(client, book, review):
    books = [book(), book()]
    ids = [str(review(books[number % 2])) for number in range(5)][::-1]
    query = f"""query ($after: String) {{
        reviews(first: 2, after: $after) {{
            nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE} }} }}"""
    assert walk(client, query, "reviews") == [ids[:2], ids[2:4], ids[4:]]
    of_all = data(client, query)["reviews"]["pageInfo"]["endCursor"]
    of_one = "query ($after: String) { reviews(bookId: 1, after: $after) { nodes { id } } }"
    assert code(client, of_one, after=of_all) == "BAD_REQUEST"


def test_the_reviews_of_a_listed_book_continue_from_their_cursor(client, book, review):
    emma = book()
    ids = [str(review(emma)) for _ in range(5)][::-1]
    query = f"{{ books {{ nodes {{ reviews(first: 2) {{ nodes {{ id }} {PAGE} }} }} }} }}"
    first = data(client, query)["books"]["nodes"][0]["reviews"]
    assert [node["id"] for node in first["nodes"]] == ids[:2]
    after = first["pageInfo"]["endCursor"]
    nested = """query ($id: ID!, $after: String) {
        book(id: $id) { reviews(after: $after) { nodes { id } } }
        reviews(bookId: $id, after: $after) { nodes { id } } }"""
    found = data(client, nested, id=emma, after=after)
    for reviews in (found["book"]["reviews"], found["reviews"]):
        assert [node["id"] for node in reviews["nodes"]] == ids[2:]


def test_an_empty_list_is_an_empty_page(client):
    books = data(client, f"{{ books {{ nodes {{ id }} totalCount {PAGE} }} }}")["books"]
    assert books == {
        "nodes": [],
        "totalCount": 0,
        "pageInfo": {
            "hasNextPage": False,
            "hasPreviousPage": False,
            "startCursor": None,
            "endCursor": None,
        },
    }


def test_a_cursor_is_valid_only_for_its_own_list(client, book, review):
    emma, dune = book(), book()
    for owner in (emma, dune):
        for _ in range(2):
            review(owner)
    books = "query ($after: String, $q: String) { books(first: 1, after: $after, q: $q)"
    books += " { pageInfo { endCursor } } }"
    reviews = "query ($id: ID!, $after: String) { reviews(bookId: $id, first: 1, after: $after)"
    reviews += " { pageInfo { endCursor } } }"
    of_books = data(client, books)["books"]["pageInfo"]["endCursor"]
    of_emma = data(client, reviews, id=emma)["reviews"]["pageInfo"]["endCursor"]
    of_rest = client.get("/books?limit=1").json["next_cursor"]
    assert data(client, books, after=of_books)
    assert data(client, reviews, id=emma, after=of_emma)
    for after in (of_emma, of_rest, "nonsense", "", "\ud800", "x" * 100_000, f"{of_books}x"):
        assert code(client, books, after=after) == "BAD_REQUEST"
    for after, reason in ((of_emma, "another list"), ("nonsense", "SECRET_KEY")):
        [error] = ask(client, books, after=after)["errors"]
        assert reason in error["message"]
    assert code(client, books, after=of_books, q="emma") == "BAD_REQUEST"
    assert code(client, reviews, id=dune, after=of_emma) == "BAD_REQUEST"
    assert client.get(f"/books?limit=1&cursor={of_books}").status_code == 400
    assert client.get(f"/books/{emma}/reviews?limit=1&cursor={of_emma}").status_code == 400


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("{ books(first: 100) { nodes { reviews(first: 9) { nodes { id } } } } }", True),
        ("{ books(first: 100) { nodes { reviews(first: 10) { nodes { id } } } } }", False),
        ("{ books(first: 10) { nodes { reviews(first: 100) { nodes { id } } } } }", False),
    ],
)
def test_a_request_can_list_at_most_a_thousand_items(client, book, query, fits):
    book()
    response = ask(client, query)
    if fits:
        assert "errors" not in response
    else:
        assert response["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert "1000" in str(response["errors"][0]["extensions"]["errors"])


def test_several_lists_count_together(client, book):
    book()
    ten = " ".join(f"a{n}: books(first: 100) {{ nodes {{ id }} }}" for n in range(10))
    assert "errors" not in ask(client, f"{{ {ten} }}")
    five = " ".join(
        f"a{n}: books(first: 50) {{ nodes {{ reviews(first: 5) {{ nodes {{ id }} }} }} }}"
        for n in range(5)
    )
    assert code(client, f"{{ {five} }}") == "BAD_USER_INPUT"


def test_a_list_with_a_name_needs_no_request(app, client, book):
    book(), book()
    with app.app_context():
        page = search.books(PageRequest(1, list_name="x"), "id")
        again = search.books(PageRequest(1, page.next_cursor, list_name="x"), "id")
    assert [page.items[0].id, again.items[0].id] == [1, 2]
