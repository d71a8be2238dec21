"""No document takes long to validate, whatever it contains."""

import sys
from itertools import count

import pytest

from app.factory import schema
from app.graphql.errors import RequestError
from app.graphql.execution import prepare
from app.graphql.limits import (
    MAX_SELECTIONS,
)
from tests.app.graphql.steps import (
    NAMES,
    ask,
    bomb,
    codes,
    fields,
    of_book,
    operations,
    refused,
    spread,
)

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
def test_comparisons_of_fields_with_one_name_are_limited(shared_client, query):
    response = ask(shared_client, query)
    assert codes(response) == ["GRAPHQL_VALIDATION_FAILED"]
    assert "with the same name" in response.json["errors"][0]["message"]
    assert work(query) < WORK_MAX


@pytest.mark.parametrize("query", COSTLY.values(), ids=COSTLY)
def test_every_invalid_document_is_rejected_quickly(shared_client, query):
    assert set(refused(shared_client, query)) == {"GRAPHQL_VALIDATION_FAILED"}
    assert work(query) < WORK_MAX


@pytest.mark.parametrize("query", [fields(MAX_SELECTIONS), bomb(30)])
def test_a_document_within_the_limits_is_prepared_quickly(query):
    assert work(query) < WORK_MAX


def test_the_same_fields_can_be_selected_in_several_places(shared_client):
    review = "id bookId rating reviewer text createdAt"
    lists = f"nodes {{ {review} }} edges {{ cursor node {{ {review} }} }} totalCount"
    book = f"{' '.join(NAMES)} reviews(first: 1) {{ {lists} }}"
    everywhere = of_book(*spread(*[book] * 9))
    assert codes(ask(shared_client, everywhere)) == ["NOT_FOUND"]
