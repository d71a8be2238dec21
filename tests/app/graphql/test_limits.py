"""Limits of a document and of a response."""

import time

import pytest
from sqlalchemy import insert

from app.extensions import db
from app.graphql.limits import (
    MAX_ALIASES,
    MAX_DEFINITIONS,
    MAX_DEPTH,
    MAX_ROOT_FIELDS,
    MAX_SELECTIONS,
)
from bookreview.models import Review
from tests.app.graphql.steps import (
    BOOKS,
    aliases,
    ask,
    bomb,
    codes,
    fields,
    nested,
    of_book,
    operations,
    roots,
)


@pytest.mark.parametrize(
    ("query", "expected"),
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
def test_a_document_beyond_a_limit_is_rejected_quickly(shared_client, query, expected):
    began = time.thread_time()
    response = ask(shared_client, query)
    assert time.thread_time() - began < 1  # seconds of CPU: other processes do not count
    assert codes(response) == ["GRAPHQL_VALIDATION_FAILED"]
    assert expected in response.json["errors"][0]["message"]


@pytest.mark.parametrize(
    "query",
    [fields(MAX_SELECTIONS), aliases(MAX_ALIASES), roots(MAX_ROOT_FIELDS)],
)
def test_a_document_just_within_the_limits_is_executed(shared_client, query):
    assert "data" in ask(shared_client, query).json


def test_the_limits_apply_to_all_operations_together(shared_client):
    within = operations(MAX_DEFINITIONS, "__typename")
    assert "data" in ask(shared_client, within, operationName="Q1").json
    for query, expected in [
        (operations(MAX_DEFINITIONS + 1, "__typename"), "operations and fragments"),
        (operations(5, of_book("id " * 60)[1:-2]), "selections"),
    ]:
        response = ask(shared_client, query, operationName="Q1")
        assert codes(response) == ["GRAPHQL_VALIDATION_FAILED"]
        assert expected in response.json["errors"][0]["message"]
    twice = operations(2, f"...F {' '.join(f'a{n}: __typename' for n in range(MAX_ALIASES))}")
    twice += f" fragment F on Query {{ {'eventCursor ' * MAX_ROOT_FIELDS} }}"
    assert "data" in ask(shared_client, twice, operationName="Q1").json


def test_a_response_that_repeats_a_text_too_often_is_rejected(client, app, book):
    emma = book()
    columns = {"book_id": emma, "rating": 4, "reviewer": "Ana", "text": "\U0001f600" * 10_000}
    with app.app_context():
        db.session.execute(insert(Review), [columns] * 90)
        db.session.commit()
    often = " ".join(f"a{n}: text" for n in range(4))
    query = f"{{ reviews(bookId: {emma}, first: 90) {{ nodes {{ %s }} }} }}"
    assert len(ask(client, query % "text").json["data"]["reviews"]["nodes"]) == 90
    assert codes(ask(client, query % f"{often} text")) == ["BAD_USER_INPUT"]
