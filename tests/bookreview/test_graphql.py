"""Books and reviews by GraphQL: the same as by REST, field by field and rule by rule."""

import pytest
from graphql import execute_sync, parse
from sqlalchemy import event, text

from app.api.pagination import PageRequest
from app.db.engine import autocommit_engine
from app.events import log as events
from app.extensions import db
from app.graphql.execution import execute, prepare, to_response
from bookreview import graphql_schema as live
from bookreview import queries
from bookreview.queries import newest_reviews, select_newest_reviews

BOOK = "id title author isbn publishedYear reviewCount averageRating createdAt"
REVIEW = "id bookId rating reviewer text createdAt"
PAGE = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
ADD = (
    "mutation Add($bookId: ID!, $rating: Int!, $reviewer: String!, $text: String!) {"
    " addReview(bookId: $bookId, rating: $rating, reviewer: $reviewer, text: $text)"
    " { id bookId rating reviewer text createdAt } }"
)
WORDS = {"rating": 4, "reviewer": "Ana", "text": "Read in one night."}


def ask(client, query, **variables):
    answer = client.post("/graphql", json={"query": query, "variables": variables})
    assert answer.status_code == 200, answer.text
    return answer.json


def data(client, query, **variables):
    answer = ask(client, query, **variables)
    assert "errors" not in answer, answer
    return answer["data"]


def error(client, query, **variables):
    (told,) = ask(client, query, **variables)["errors"]
    return told


def code(client, query, **variables):
    return error(client, query, **variables)["extensions"]["code"]


def as_rest(thing):
    """Name the members as REST does."""
    names = {"publishedYear": "published_year", "reviewCount": "review_count"}
    names |= {"averageRating": "average_rating", "createdAt": "created_at", "bookId": "book_id"}
    ids = {"id", "bookId"}
    return {names.get(k, k): int(v) if k in ids else v for k, v in thing.items()}


def test_a_book_is_the_same_as_by_rest(client, book, review):
    emma = book(isbn="9780439023481", published_year=-300)
    for rating in (5, 4, 4):
        review(emma, rating=rating)
    shown = data(client, f"{{ book(id: {emma}) {{ {BOOK} }} }}")["book"]
    assert as_rest(shown) == client.get(f"/books/{emma}").json
    bare = book()
    shown = data(client, f"{{ book(id: {bare}) {{ {BOOK} }} }}")["book"]
    assert as_rest(shown) == client.get(f"/books/{bare}").json


def test_reviews_are_the_same_as_by_rest_wherever_they_are_asked_for(client, book, review):
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


def test_books_are_filtered_as_by_rest(client, book):
    book(title="Emma", author="Jane Austen", isbn="9780439023481")
    book(title="100% Dune", author="Frank Herbert")
    query = """query ($q: String, $author: String, $isbn: String) {
        books(q: $q, author: $author, isbn: $isbn) { nodes { title } totalCount }
    }"""
    for filters, titles in [
        ({}, ["Emma", "100% Dune"]),
        ({"q": "austen"}, ["Emma"]),
        ({"q": "0%"}, ["100% Dune"]),
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
def test_an_unknown_book_is_null_with_its_code(client, id_):
    answer = ask(client, "query ($id: ID!) { book(id: $id) { id } }", id=id_)
    assert answer["data"] == {"book": None}
    (told,) = answer["errors"]
    assert told["extensions"] == {"code": "NOT_FOUND"}
    assert told["path"] == ["book"]
    query = "query ($id: ID!) { reviews(bookId: $id) { nodes { id } } }"
    assert code(client, query, id=id_) == "NOT_FOUND"
    assert code(client, ADD, bookId=id_, **WORDS) == "NOT_FOUND"


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


def test_books_are_paged_through_without_gap_or_repeat(client, book):
    ids = [str(book(title=f"Emma {number}")) for number in range(7)]
    query = f"""query ($after: String) {{
        books(first: 3, after: $after, q: "emma") {{
            totalCount nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE} }} }}"""
    assert walk(client, query, "books") == [ids[:3], ids[3:6], ids[6:]]


def test_reviews_are_paged_through_newest_first(client, book, review):
    emma = book()
    ids = [str(review(emma)) for _ in range(6)][::-1]
    query = f"""query ($id: ID!, $after: String) {{
        reviews(bookId: $id, first: 2, after: $after) {{
            nodes {{ id }} edges {{ cursor node {{ id }} }} {PAGE} }} }}"""
    assert walk(client, query, "reviews", id=emma) == [ids[:2], ids[2:4], ids[4:]]


def test_the_reviews_of_a_listed_book_go_on_from_their_cursor(client, book, review):
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


def test_an_empty_list_is_a_page_with_nothing_in_it(client):
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


def test_a_cursor_is_good_for_its_own_list_alone(client, book, review):
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
    assert code(client, books, after=of_books, q="emma") == "BAD_REQUEST"
    assert code(client, reviews, id=dune, after=of_emma) == "BAD_REQUEST"
    assert client.get(f"/books?limit=1&cursor={of_books}").status_code == 400
    assert client.get(f"/books/{emma}/reviews?limit=1&cursor={of_emma}").status_code == 400


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
    ],
)
def test_a_wrong_argument_of_a_list_is_named(shared_client, name, value):
    query = "query ($first: Int, $q: String, $author: String, $isbn: String)"
    query += " { books(first: $first, q: $q, author: $author, isbn: $isbn) { nodes { id } } }"
    told = error(shared_client, query, **{name: value})["extensions"]
    assert told["code"] == "BAD_USER_INPUT"
    assert [found["pointer"] for found in told["errors"]] == [f"/{name}"]
    assert {found["in"] for found in told["errors"]} == {"arguments"}


def test_null_for_first_is_the_default(client, book):
    book()
    assert len(data(client, "{ books(first: null) { nodes { id } } }")["books"]["nodes"]) == 1


class Statements(list):
    """The statements that an app sends its database, while this is open."""

    def __init__(self, app):
        super().__init__()
        with app.app_context():
            self.engine = autocommit_engine()

    def __enter__(self):
        event.listen(self.engine, "before_cursor_execute", self.note)
        return self

    def __exit__(self, *_):
        event.remove(self.engine, "before_cursor_execute", self.note)

    def note(self, connection, cursor, statement, *_):
        if not statement.startswith(("BEGIN", "SELECT 1")):
            self.append(statement)


@pytest.mark.parametrize("books", [1, 3, 9])
def test_the_reviews_of_all_books_of_a_page_cost_one_statement(app, client, book, review, books):
    ids = [book(title=f"Emma {number}") for number in range(books)]
    for number, owner in enumerate(ids):
        for at in range(number % 5):
            review(owner, text=f"{owner} {at}")
    query = """{ books(first: 20) {
        nodes { id reviewCount reviews(first: 3) { nodes { text } pageInfo { hasNextPage } } }
        edges { node { reviews(first: 3) { edges { node { bookId } } } } } } }"""
    with Statements(app) as sent:
        found = data(client, query)["books"]
    assert len(sent) == 2
    for owner, shown in zip(ids, found["nodes"], strict=True):
        rest = client.get(f"/books/{owner}/reviews?limit=3").json
        reviews = shown["reviews"]
        assert [told["text"] for told in reviews["nodes"]] == [r["text"] for r in rest["items"]]
        assert reviews["pageInfo"]["hasNextPage"] == (rest["next_cursor"] is not None)


def test_each_other_length_costs_one_statement_more_and_a_total_one_for_the_list(
    app, client, book, review
):
    for _ in range(3):
        review(book())
    query = """{ books { totalCount again: totalCount
        nodes { one: reviews(first: 1) { nodes { id } } two: reviews(first: 2) { nodes { id } } }
    } }"""
    with Statements(app) as sent:
        data(client, query)
    assert len(sent) == 4


def test_the_totals_of_listed_books_cost_no_statement(app, client, book, review):
    review(book())
    book()
    with Statements(app) as sent:
        found = data(client, "{ books { nodes { reviews(first: 1) { totalCount } } } }")
    assert [shown["reviews"]["totalCount"] for shown in found["books"]["nodes"]] == [1, 0]
    assert len(sent) == 2


def test_many_books_are_read_by_their_index(app, client, book, review):
    for _ in range(3):
        review(book())
    with app.app_context(), db.engine.connect() as connection:
        assert newest_reviews([1, 2, 3], 2).keys() == {1, 2, 3}
        if db.engine.dialect.name == "postgresql":
            connection.execute(text("SET enable_seqscan = off"))
        explain = "EXPLAIN " if db.engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
        plan = str(connection.exec_driver_sql(explain + literal(select_newest_reviews(4), db.engine)).all())
    assert plan.count("ix_review_newest_of_book") == 4, plan


def literal(statement, engine):
    values = dict.fromkeys(statement.compile(engine).params, 1)
    bound = statement.params(values)
    return str(bound.compile(engine, compile_kwargs={"literal_binds": True}))


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("{ books(first: 100) { nodes { reviews(first: 9) { nodes { id } } } } }", True),
        ("{ books(first: 100) { nodes { reviews(first: 10) { nodes { id } } } } }", False),
        ("{ books(first: 10) { nodes { reviews(first: 100) { nodes { id } } } } }", False),
    ],
)
def test_the_lists_of_a_request_hold_a_thousand_things_at_most(client, book, query, fits):
    book()
    answer = ask(client, query)
    if fits:
        assert "errors" not in answer
    else:
        assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert "1000" in str(answer["errors"][0]["extensions"]["errors"])


def test_lists_beside_each_other_count_together(client, book):
    book()
    ten = " ".join(f"a{n}: books(first: 100) {{ nodes {{ id }} }}" for n in range(10))
    assert "errors" not in ask(client, f"{{ {ten} }}")
    five = " ".join(
        f"a{n}: books(first: 50) {{ nodes {{ reviews(first: 5) {{ nodes {{ id }} }} }} }}"
        for n in range(5)
    )
    assert code(client, f"{{ {five} }}") == "BAD_USER_INPUT"


def test_a_review_is_added_and_counted(client, book):
    emma = book()
    made = data(client, ADD, bookId=emma, **{**WORDS, "text": " one\r\ntwo e\u0301 "})["addReview"]
    assert made["text"] == "one\ntwo \u00e9"
    assert client.get(f"/books/{emma}/reviews").json["items"] == [as_rest(made)]
    assert client.get(f"/books/{emma}").json["review_count"] == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rating", 0),
        ("rating", 6),
        ("reviewer", ""),
        ("reviewer", " \u00a0 "),
        ("reviewer", "x" * 101),
        ("reviewer", "a\nb"),
        ("text", ""),
        ("text", "x" * 10_001),
        ("text", "a\x07b"),
        ("text", "a\x00b"),
        ("text", "\ud800"),
    ],
)
def test_a_wrong_review_is_refused_as_by_rest(client, book, field, value):
    emma = book()
    wrong = {**WORDS, field: value}
    told = error(client, ADD, bookId=emma, **wrong)["extensions"]
    rest = client.post(f"/books/{emma}/reviews", json=wrong).json["errors"]
    assert told["code"] == "BAD_USER_INPUT"
    assert told["errors"] == [{**found, "in": "arguments"} for found in rest]
    assert client.get(f"/books/{emma}").json["review_count"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rating", "4"),
        ("rating", 4.5),
        ("rating", True),
        ("rating", None),
        ("rating", 2**31),
        ("rating", 10**20),
        ("text", 5),
        ("text", ["x"]),
        ("reviewer", {"a": 1}),
        ("bookId", 1.5),
        ("bookId", None),
    ],
)
def test_a_variable_of_a_wrong_kind_is_refused_before_anything_is_done(client, book, field, value):
    emma = book()
    answer = ask(client, ADD, **{"bookId": emma, **WORDS, field: value})
    assert "data" not in answer
    assert [told["extensions"]["code"] for told in answer["errors"]] == ["BAD_USER_INPUT"]
    assert client.get(f"/books/{emma}").json["review_count"] == 0


def test_a_mutation_writes_one_thing(client, book):
    emma = book()
    add = f'addReview(bookId: {emma}, rating: 4, reviewer: "a", text: "b") {{ id }}'
    two = f"mutation {{ one: {add} ...More }} fragment More on Mutation {{ two: {add} }}"
    assert code(client, two) == "GRAPHQL_VALIDATION_FAILED"
    assert client.get(f"/books/{emma}").json["review_count"] == 0
    assert data(client, f"mutation {{ __typename one: {add} }}")["__typename"] == "Mutation"


def test_the_cursor_of_events_stands_before_all_that_comes_after(app, client, book, review):
    emma = book()
    review(emma)
    before = data(client, "{ eventCursor }")["eventCursor"]
    assert before == data(client, "{ eventCursor }")["eventCursor"]
    review(emma)
    with app.app_context():
        head = events.head(autocommit_engine())
    assert before == events.format_cursor(head.log, head.position - 1)


def test_an_event_is_a_subscription_executed_without_database_or_request(app, client, book):
    made = client.post(f"/books/{book()}/reviews", json=WORDS).json
    with app.app_context():
        (happened,) = events.newest(autocommit_engine(), 1, 1)
    query = f"""subscription ($id: ID) {{
        reviewAdded(bookId: $id) {{ cursor review {{ {REVIEW} }} }} }}"""
    root = live.review_event("a", happened)
    plain = execute_sync(live.schema, parse(query), root, variable_values={"id": "1"})
    assert plain.errors is None
    assert plain.data["reviewAdded"]["cursor"] == events.format_cursor("a", 1)
    assert as_rest(plain.data["reviewAdded"]["review"]) == made
    prepared = prepare(live.schema, query, may_introspect=True)
    assert to_response(execute(live.schema, prepared, {"id": "1"}, root)) == {"data": plain.data}


def test_a_subscription_by_post_is_refused(client):
    assert code(client, "subscription { reviewAdded { cursor } }") == "BAD_REQUEST"


def test_a_list_with_a_name_needs_no_request(app, client, book):
    book(), book()
    with app.app_context():
        page = queries.books(PageRequest(1, list_name="x"))
        again = queries.books(PageRequest(1, page.next_cursor, list_name="x"))
    assert [page.items[0].id, again.items[0].id] == [1, 2]
