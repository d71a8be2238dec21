"""GraphQL over HTTP: what is taken, what is refused, and with which code."""

import json
import sys
import time
from itertools import count, cycle, islice

import pytest
from graphql import get_introspection_query
from sqlalchemy import event, insert, text

from app.auth.api_keys import MISS_CACHE_SECONDS
from app.config import Rate
from app.extensions import db
from app.graphql.errors import RequestError
from app.graphql.execution import prepare
from app.graphql.limits import (
    MAX_ALIASES,
    MAX_DEFINITIONS,
    MAX_DEPTH,
    MAX_ROOT_FIELDS,
    MAX_SELECTIONS,
)
from bookreview import services
from bookreview.graphql_schema import schema
from bookreview.models import Review

GRAPHQL_JSON = "application/graphql-response+json"
BOOKS = "{ books { nodes { id } } }"
ADD = 'mutation { addReview(bookId: 1, rating: 4, reviewer: "Ana", text: "Good.") { id } }'
LOST = ADD.replace("bookId: 1", "bookId: 99")


def ask(client, query, headers=None, **members):
    return client.post("/graphql", json={"query": query, **members}, headers=headers)


def codes(answer):
    return [error["extensions"]["code"] for error in answer.json["errors"]]


def refused(client, query, **members):
    """Return the codes of a request that is not executed; 400 to who takes the answer's kind."""
    answer = ask(client, query, **members)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert "data" not in answer.json
    exact = ask(client, query, {"Accept": GRAPHQL_JSON}, **members)
    assert (exact.status_code, exact.mimetype) == (400, GRAPHQL_JSON)
    assert exact.json == answer.json
    return codes(answer)


def make_key(app, *scopes):
    words = [word for name in scopes for word in ("--scope", name)]
    created = app.test_cli_runner().invoke(args=["keys", "create", "a test", *words])
    time.sleep(MISS_CACHE_SECONDS)
    return {"Authorization": f"Bearer {created.stdout.strip()}"}


def reviews(app):
    with app.app_context(), db.engine.connect() as connection:
        return connection.execute(text("SELECT count(*) FROM review")).scalar()


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        (GRAPHQL_JSON, GRAPHQL_JSON),
        (f"{GRAPHQL_JSON}; charset=utf-8, application/json; charset=utf-8", GRAPHQL_JSON),
        (f"{GRAPHQL_JSON};q=0, application/json", "application/json"),
    ],
)
def test_the_client_chooses_the_kind_of_answer(shared_client, accept, kind):
    answer = ask(shared_client, BOOKS, {"Accept": accept} if accept else {})
    assert (answer.status_code, answer.mimetype) == (200, kind)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_a_client_that_takes_neither_gets_a_406(shared_client):
    answer = ask(shared_client, BOOKS, {"Accept": "text/html"})
    assert (answer.status_code, answer.mimetype) == (406, "application/problem+json")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b'"{ books { nodes { id } } }"',
        b"[]",
        b'[{"query": "{ __typename }"}]',
        b"{}",
        b'{"query": null}',
        b'{"query": 5}',
        b'{"query": ["{ __typename }"]}',
        b'{"query": "{ __typename }", "variables": []}',
        b'{"query": "{ __typename }", "variables": "{}"}',
        b'{"query": "{ __typename }", "operationName": 1}',
        b'{"query": "{ __typename }", "extensions": 1}',
        b'{"query": "{ __typename }", "query": "{ __typename }"}',
        b'{"query": "{ __typename }", "variables": {"x": NaN}}',
        b'{"query": "{ __typename }", "variables": {"x": 1e999}}',
        b'{"query": "{ __typename }", "variables": {"x": 1, "x": 2}}',
        b'{"query": "\xff"}',
        b'{"query": "{ __typename }", "variables": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"query": "{ __typename }", "variables": ' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001,
    ],
)
def test_what_is_no_request_of_graphql_is_a_problem(shared_client, body):
    answer = shared_client.post("/graphql", data=body, content_type="application/json")
    assert (answer.status_code, answer.mimetype) == (400, "application/problem+json")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_of_another_site_can_send_is_refused(shared_client, kind):
    body = json.dumps({"query": BOOKS})
    assert shared_client.post("/graphql", data=body, content_type=kind).status_code == 415


def test_a_body_that_is_too_large_is_a_413(shared_client):
    assert ask(shared_client, BOOKS, variables={"x": "x" * 1_048_577}).status_code == 413


@pytest.mark.parametrize(
    "query",
    [
        "",
        "{",
        "nonsense",
        "{ a \x00 }",
        "{ a \ud800 }",
        '{ book(id: "\ud800") { id } ',
        "{ a }" + " " * 10_000,
        "{ " + "a " * 1_001 + "}",
        "#\n" * 101 + BOOKS,
        "{a" * 2_000,
        "{ book(id: " + "[" * 900 + " ",
    ],
)
def test_what_cannot_be_parsed_says_so(shared_client, query):
    assert refused(shared_client, query) == ["GRAPHQL_PARSE_FAILED"]


@pytest.mark.parametrize(
    "query",
    [
        "{ nonsense }",
        "{ books }",
        "{ book { id } }",
        '{ books(first: "1") { nodes { id } } }',
        "{ books(first: 99999999999) { nodes { id } } }",
        "{ books(first: " + "9" * 5_000 + ") { nodes { id } } }",
        "query ($x: Nonsense) { __typename }",
        "query A { __typename } query A { __typename }",
        "{ ...F } fragment F on Query { ...F }",
        "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
        "{ __typename @nonsense }",
        "{ __typename @skip(if: true) @skip(if: true) }",
        "type A { b: Int }",
        "fragment F on Query { __typename }",
        "subscription { a: reviewAdded { cursor } b: reviewAdded { cursor } }",
        "{ books @stream { nodes { id } } }",
        "query A { __typename } query B { __typename }",
    ],
)
def test_what_is_not_valid_says_so(shared_client, query):
    assert set(refused(shared_client, query)) == {"GRAPHQL_VALIDATION_FAILED"}


def test_one_of_several_operations_is_chosen_by_its_name(shared_client):
    query = "query A { a: __typename } query B { b: __typename }"
    assert ask(shared_client, query, operationName="B").json == {"data": {"b": "Query"}}
    for name in (None, "", "C", "\ud800"):
        assert refused(shared_client, query, operationName=name) == ["GRAPHQL_VALIDATION_FAILED"]


def nested(depth):
    return "{ a " * depth + "}" * depth


NAMES = ["id", "title", "author", "isbn", "reviewCount", "averageRating", "createdAt"]
NAMES += ["publishedYear", "__typename"]


def fields(number):
    """Select so many; of one name in one place not too many to be compared."""
    half = (number - 3) // 2
    one, other = (" ".join(islice(cycle(NAMES), size)) for size in (half, number - 3 - half))
    return f"{{ book(id: 1) {{ {one} }} books {{ nodes {{ {other} }} }} }}"


def aliases(count):
    return f"{{ book(id: 1) {{ {' '.join(f'a{n}: id' for n in range(count))} }} }}"


def roots(count):
    return f"{{ {'eventCursor ' * count} }}"


def bomb(levels):
    """Spread twice at each level: 2 to the power of ``levels`` in the end."""
    chain = " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(levels))
    return f"{{ ...F0 }} {chain} fragment F{levels} on Query {{ __typename }}"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (nested(MAX_DEPTH + 1), "deep"),
        (fields(MAX_SELECTIONS + 1), "selections"),
        (aliases(MAX_ALIASES + 1), "aliases"),
        (roots(MAX_ROOT_FIELDS + 1), "root fields"),
        (bomb(30), "selections"),
        (f"{{ ...F ...F }} fragment F on Query {{ {'eventCursor ' * 6} }}", "root fields"),
        (f"query A {BOOKS} query B {{ b: eventCursor {'eventCursor ' * 10} }}", "root fields"),
        (f"{{ __typename }} fragment F on Book {{ {'id ' * 301} }}", "selections"),
    ],
)
def test_what_asks_for_too_much_is_refused_soon(shared_client, query, words):
    began = time.monotonic()
    answer = ask(shared_client, query)
    assert time.monotonic() - began < 1
    assert codes(answer) == ["GRAPHQL_VALIDATION_FAILED"]
    assert words in answer.json["errors"][0]["message"]


@pytest.mark.parametrize(
    "query",
    [fields(MAX_SELECTIONS), aliases(MAX_ALIASES), roots(MAX_ROOT_FIELDS)],
)
def test_what_is_just_within_the_bounds_is_answered(shared_client, query):
    assert "data" in ask(shared_client, query).json


def spread(*fragments, kind="Book"):
    """Spread all fragments side by side."""
    defined = " ".join(f"fragment F{n} on {kind} {{ {f} }}" for n, f in enumerate(fragments))
    return " ".join(f"...F{n}" for n in range(len(fragments))), defined


def of_book(selections, fragments=""):
    return f"{{ book(id: 1) {{ {selections} }} }} {fragments}"


def operations(number, selections, variables=""):
    return " ".join(f"query Q{n}{variables} {{ {selections} }}" for n in range(number))


REVIEWS = "reviews { nodes { id } }"
EDGES = "reviews { edges { node { id } } }"
FIELDS = "fields { type { ofType { name } } } "
ALIKE = {
    "leaves": of_book("id " * 290),
    "lists": of_book(f"{REVIEWS} " * 95),
    "edges": of_book(f"{EDGES} " * 72),
    "arguments": of_book('reviews(first: 1, after: "a") { __typename } ' * 75),
    "inline fragments": of_book(f"... {{ {REVIEWS} }} " * 60),
    "fragments": of_book(*spread(*[REVIEWS] * 40)),
    "leaves of fragments": of_book(*spread(*["id title author isbn"] * 40)),
    "fragments and fields": of_book(*spread(*[f"{REVIEWS} " * 12] * 6)),
    "nested": f"{{ books {{ nodes {{ {f'{REVIEWS} ' * 40} }} }} }}",
    "nested twice": f"{{ books {{ {f'nodes {{ {REVIEWS * 3} }} ' * 20} }} }}",
    "introspection": f"{{ __schema {{ types {{ {FIELDS * 50} }} }} }}",
}


def query(selections, *variables):
    declared = f"query ({' '.join(variables)})" if variables else "query"
    return f"{declared} {{ {selections} }}"


def by(*arguments):
    return f"book({' '.join(arguments)}) {{ id }}"


COSTLY = {
    "operations": operations(190, "__typename"),
    "operations that share a chain": operations(60, "...F0")
    + spread(*(f"...F{n + 1}" for n in range(70)), "__typename", kind="Query")[1],
    "operations that share much": operations(60, "...F0")
    + spread(f"book(id: 1) {{ {'id ' * 250} }}", kind="Query")[1],
    "a chain of fragments that all compare": of_book(
        "...F0", spread(*(f"{REVIEWS} ...F{n + 1}" for n in range(60)), "id")[1]
    ),
    "fragments that nobody spreads": "{ __typename } " + spread(*["id"] * 100)[1],
    "fragments of one name": of_book("...F", f"fragment F on Book {{ {'id ' * 150} }} " * 6),
    "types": f"type A {{ {' '.join(f'a{n}: Int' for n in range(300))} }}",
    "fragments that are not there": of_book(" ".join(f"...F{n}" for n in range(290))),
    "variables": query("__typename", *(f"$a{n}: Int" for n in range(240))),
    "uses of variables": operations(20, "...F0", "($a: ID)")
    + spread(by("id: [", *["$a"] * 330, "]"), kind="Query")[1],
    "wrapped types": query("__typename", *(f"$a{n}: {'[' * 60}Int{']' * 60}" for n in range(7))),
    "values": query(by("id: [", *["1"] * 950, "]")),
    "members": query(by("id: {", *(f"a{n}: 1" for n in range(310)), "}")),
    "arguments": query(by(*(f"a{n}: 1" for n in range(310)))),
    "directives": of_book(f"id {'@a ' * 480}"),
    "unknown fields": of_book(" ".join(f"titl{n}" for n in range(280))),
    "long names": of_book(" ".join(f"title{'x' * 900}{n}" for n in range(10))),
    "conflicts": of_book(" ".join(f"reviews(first: {n}) {{ nodes {{ id }} }}" for n in range(40))),
}
WORK_MAX = 400_000
"""Calls and returns of a preparation; of it, 1,000 tokens take 300,000."""


def work(query):
    """Prepare a document, and count all calls and returns."""
    events = count()
    sys.setprofile(lambda *_: next(events))
    try:
        prepare(schema, f"{query} # not prepared before", may_introspect=True)
    except RequestError:
        pass
    finally:
        sys.setprofile(None)
    return next(events)


@pytest.mark.parametrize("query", ALIKE.values(), ids=ALIKE)
def test_fields_of_one_name_are_compared_within_bounds(shared_client, query):
    answer = ask(shared_client, query)
    assert codes(answer) == ["GRAPHQL_VALIDATION_FAILED"]
    assert "with the same name" in answer.json["errors"][0]["message"]
    assert work(query) < WORK_MAX


@pytest.mark.parametrize("query", COSTLY.values(), ids=COSTLY)
def test_no_document_takes_long_to_refuse(shared_client, query):
    assert set(refused(shared_client, query)) == {"GRAPHQL_VALIDATION_FAILED"}
    assert work(query) < WORK_MAX


@pytest.mark.parametrize("query", [fields(MAX_SELECTIONS), bomb(30)])
def test_what_is_within_the_bounds_takes_not_much_more(query):
    assert work(query) < WORK_MAX


def test_the_same_fields_may_be_asked_for_in_several_places(shared_client):
    review = "id bookId rating reviewer text createdAt"
    lists = f"nodes {{ {review} }} edges {{ cursor node {{ {review} }} }} totalCount"
    book = f"{' '.join(NAMES)} reviews(first: 1) {{ {lists} }}"
    everywhere = of_book(*spread(*[book] * 9))
    assert codes(ask(shared_client, everywhere)) == ["NOT_FOUND"]


def test_operations_are_bounded_together(shared_client):
    within = operations(MAX_DEFINITIONS, "__typename")
    assert "data" in ask(shared_client, within, operationName="Q1").json
    for query, words in [
        (operations(MAX_DEFINITIONS + 1, "__typename"), "operations and fragments"),
        (operations(5, of_book("id " * 60)[1:-2]), "selections"),
    ]:
        answer = ask(shared_client, query, operationName="Q1")
        assert codes(answer) == ["GRAPHQL_VALIDATION_FAILED"]
        assert words in answer.json["errors"][0]["message"]
    twice = operations(2, f"...F {' '.join(f'a{n}: __typename' for n in range(MAX_ALIASES))}")
    twice += f" fragment F on Query {{ {'eventCursor ' * MAX_ROOT_FIELDS} }}"
    assert "data" in ask(shared_client, twice, operationName="Q1").json


def test_a_document_that_comes_again_is_prepared_once():
    assert prepare(schema, BOOKS, may_introspect=True) is prepare(schema, BOOKS, may_introspect=True)


def test_an_answer_that_says_one_text_too_often_is_refused(client, app, book):
    emma = book()
    words = {"book_id": emma, "rating": 4, "reviewer": "Ana", "text": "\U0001f600" * 10_000}
    with app.app_context():
        db.session.execute(insert(Review), [words] * 90)
        db.session.commit()
    often = " ".join(f"a{n}: text" for n in range(4))
    query = f"{{ reviews(bookId: {emma}, first: 90) {{ nodes {{ %s }} }} }}"
    assert len(ask(client, query % "text").json["data"]["reviews"]["nodes"]) == 90
    assert codes(ask(client, query % f"{often} text")) == ["BAD_USER_INPUT"]


INTROSPECTION = get_introspection_query(
    specified_by_url=True, directive_is_repeatable=True, input_value_deprecation=True
)
ALL = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
    one_of=True,
)


@pytest.mark.parametrize("query", [get_introspection_query(), INTROSPECTION, ALL])
def test_where_keys_are_not_required_anybody_sees_the_schema(shared_client, query):
    found = ask(shared_client, query).json["data"]["__schema"]
    assert "BookConnection" in {kind["name"] for kind in found["types"]}


def test_where_keys_are_required_the_schema_is_for_who_has_one(make_app, sqlite_database):
    app = make_app(sqlite_database, require_api_key=True)
    client = app.test_client()
    for query in (
        INTROSPECTION,
        '{ a: __type(name: "Book") { name } }',
        "{ ... { __schema {a} } }",
    ):
        assert refused(client, query) == ["UNAUTHENTICATED"]
    key = make_key(app)
    assert ask(client, INTROSPECTION, key).json["data"]["__schema"]
    assert "Did you mean" in ask(client, "{ bookz { id } }", key).json["errors"][0]["message"]
    assert "Did you mean" not in ask(client, "{ bookz { id } }").json["errors"][0]["message"]
    assert ask(client, BOOKS).json == {"data": {"books": {"nodes": []}}}
    assert ask(client, "{ __typename }").json == {"data": {"__typename": "Query"}}


def test_introspection_does_not_go_round_in_circles(shared_client):
    round_ = "fields { type " * 4
    query = (
        f"{{ __schema {{ types {{ {round_.replace('type ', 'type { ')} name {'} }' * 4} }} }} }}"
    )
    assert "GRAPHQL_VALIDATION_FAILED" in refused(shared_client, query)


def test_a_mutation_needs_what_rest_needs(make_app, database):
    app = make_app(database, require_api_key=True)
    client = app.test_client()
    both = make_key(app, "reviews:write", "books:write")
    client.post("/books", json={"title": "Emma", "author": "Jane Austen"}, headers=both)
    assert codes(ask(client, ADD)) == ["UNAUTHENTICATED"]
    assert codes(ask(client, ADD, make_key(app, "books:write"))) == ["FORBIDDEN"]
    assert reviews(app) == 0
    answer = ask(client, ADD, make_key(app, "reviews:write"))
    assert answer.json == {"data": {"addReview": {"id": "1"}}}
    wrong = ask(client, BOOKS, {"Authorization": "Bearer nonsense"})
    assert (wrong.status_code, wrong.mimetype) == (401, "application/problem+json")


def test_a_query_counts_as_a_read_and_a_mutation_as_a_write_besides(make_app, sqlite_database):
    limits = {"rate_limit_read": Rate(4, 3_600), "rate_limit_write": Rate(2, 3_600)}
    app = make_app(sqlite_database, web_concurrency=1, **limits)
    client = app.test_client()
    client.post("/books", json={"title": "Emma", "author": "Jane Austen"})
    assert ask(client, BOOKS).headers["RateLimit"].startswith('"read";r=3;')
    written = ask(client, ADD)
    assert written.json["data"]
    assert written.headers["RateLimit"].startswith('"write";r=0;')
    answer = ask(client, ADD)
    (error,) = answer.json["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (200, "TOO_MANY_REQUESTS")
    assert error["extensions"]["retryAfter"] > 0
    assert ask(client, BOOKS).status_code == 200
    beyond = ask(client, BOOKS)
    assert (beyond.status_code, beyond.mimetype) == (429, "application/problem+json")
    assert reviews(app) == 1


def test_the_same_key_gives_the_first_answer_again(app, client, book):
    book()
    first, again = (ask(client, ADD, {"Idempotency-Key": "k"}) for _ in range(2))
    assert first.data == again.data
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert reviews(app) == 1
    other = ask(client, ADD.replace("4", "5"), {"Idempotency-Key": "k"})
    assert codes(other) == ["BAD_USER_INPUT"]
    assert codes(ask(client, ADD, {"Idempotency-Key": "a key"})) == ["BAD_REQUEST"]
    assert reviews(app) == 1


def test_an_answer_with_errors_is_not_kept(app, client, book):
    book()
    for query, code in [
        (LOST, "NOT_FOUND"),
        (ADD.replace("4", "9"), "BAD_USER_INPUT"),
        ("mutation {", "GRAPHQL_PARSE_FAILED"),
    ]:
        assert codes(ask(client, query, {"Idempotency-Key": "k"})) == [code]
    assert ask(client, ADD, {"Idempotency-Key": "k"}).json["data"]
    assert reviews(app) == 1


def test_a_query_takes_no_notice_of_a_key(client, book):
    empty = ask(client, BOOKS, {"Idempotency-Key": "k"})
    book()
    full = ask(client, BOOKS, {"Idempotency-Key": "k"})
    assert len(full.json["data"]["books"]["nodes"]) == len(empty.json["data"]["books"]["nodes"]) + 1


def test_a_commit_that_fails_is_no_answer(app, client, book, caplog):
    book()
    failing = [True]

    def fail(_):
        if failing:
            failing.clear()
            raise RuntimeError("a secret of our insides")

    with app.app_context():
        event.listen(db.engine, "commit", fail)
    answer = ask(client, ADD)
    assert codes(answer) == ["INTERNAL"]
    assert answer.json["data"] is None
    assert reviews(app) == 0
    assert ask(client, ADD).json["data"]
    assert reviews(app) == 1


def test_a_fault_of_ours_tells_nothing_but_the_request(app, client, monkeypatch, caplog):
    def fault(*_, **__):
        raise ZeroDivisionError("a secret of our insides")

    monkeypatch.setattr(services, "add_review", fault)
    answer = ask(client, ADD, {"X-Request-ID": "a-1"})
    (error,) = answer.json["errors"]
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "a-1"}
    assert "secret" not in answer.text
    assert "a secret of our insides" in caplog.text
    assert "a-1" in {getattr(record, "request_id", None) for record in caplog.records}


@pytest.mark.parametrize("query", [BOOKS, "{ book(id: 1) { id } }", "{ eventCursor }", ADD])
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k"}])
def test_without_a_database_the_code_is_unavailable(make_app, query, key):
    client = make_app("postgresql://u@127.0.0.1:1/none").test_client()
    answer = ask(client, query, key)
    assert answer.status_code in (200, 503)
    (error,) = answer.json["errors"]
    assert error["extensions"] == {"code": "UNAVAILABLE", "retryAfter": 2}
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    ("number", "rating"), [("5", 5), ("5.0", 5), ("0.5e1", 5), ("5.5", None), ("-0", None)]
)
def test_a_number_is_whole_by_its_value_however_it_is_written(client, book, number, rating):
    book()
    query = ADD.replace("mutation", "mutation ($r: Int!)").replace("4", "$r")
    body = f'{{"query": {json.dumps(query)}, "variables": {{"r": {number}}}}}'
    answer = client.post("/graphql", data=body, content_type="application/json")
    assert "Decimal" not in answer.text
    if rating:
        query = "{ reviews(bookId: 1) { nodes { rating } } }"
        assert ask(client, query).json["data"]["reviews"]["nodes"] == [{"rating": rating}]
    else:
        assert codes(answer) == ["BAD_USER_INPUT"]


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("ID!", None),
        ("ID!", {"a": 1}),
        ("ID!", ["\ud800"]),
        ("ID!", True),
        ("Int", "\ud800"),
        ("Int", 1.5),
        ("Int", 10**4_000),
        ("Int", [[[[[[1]]]]]]),
    ],
)
def test_a_variable_of_a_wrong_kind_is_named(shared_client, declared, value):
    field = "book(id: $x) { id }" if "ID" in declared else "books(first: $x) { nodes { id } }"
    answer = ask(shared_client, f"query ($x: {declared}) {{ {field} }}", variables={"x": value})
    assert codes(answer) == ["BAD_USER_INPUT"]
    assert "$x" in answer.json["errors"][0]["message"]
    assert len(answer.data) < 10_000


def test_null_for_an_argument_that_needs_a_value_is_the_callers_fault(shared_client):
    query = 'query ($x: ID = "1") { book(id: $x) { id } }'
    assert codes(ask(shared_client, query, variables={"x": None})) == ["BAD_USER_INPUT"]


def test_variables_that_nobody_declared_are_let_pass(shared_client):
    answer = ask(shared_client, BOOKS, variables={"a": "\ud800", "b": [1.5, None]}, other=1)
    assert "errors" not in answer.json


def test_the_schema_can_be_printed(app):
    printed = app.test_cli_runner().invoke(args=["graphql-schema"])
    assert printed.exit_code == 0
    assert "reviewAdded(bookId: ID, after: String): ReviewEvent!" in printed.stdout
