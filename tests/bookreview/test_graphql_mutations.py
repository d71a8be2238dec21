"""The mutation addReview: the same rules as in REST."""

import pytest

from tests.bookreview.graphql_client import ADD, WORDS, as_rest, ask, code, data, error


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
        ("reviewer", "\u3164"),
        ("reviewer", "\u2800"),
        ("text", "\U000e0041\ufe0f"),
        ("reviewer", "x" * 101),
        ("reviewer", "a\nb"),
        ("text", ""),
        ("text", "x" * 10_001),
        ("text", "a\x07b"),
        ("text", "a\x00b"),
        ("text", "\ud800"),
    ],
)
def test_an_invalid_review_is_rejected_as_in_rest(client, book, field, value):
    emma = book()
    wrong = {**WORDS, field: value}
    extensions = error(client, ADD, bookId=emma, **wrong)["extensions"]
    rest = client.post(f"/books/{emma}/reviews", json=wrong).json["errors"]
    assert extensions["code"] == "BAD_USER_INPUT"
    assert extensions["errors"] == [{**found, "in": "arguments"} for found in rest]
    assert client.get(f"/books/{emma}").json["review_count"] == 0


@pytest.mark.parametrize("written", ["4", "4.0", "4e0", "40e-1"])
def test_a_whole_number_in_a_variable_has_its_exact_value_in_any_notation(client, book, written):
    variables = f'{{"bookId": {book()}, "reviewer": "Ana", "text": "Good.", "rating": {written}}}'
    body = f'{{"query": "{ADD}", "variables": {variables}}}'
    response = client.post("/graphql", data=body, content_type="application/json")
    assert response.json["data"]["addReview"]["rating"] == 4


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
def test_a_variable_of_the_wrong_type_is_rejected_before_any_write(client, book, field, value):
    emma = book()
    response = ask(client, ADD, **{"bookId": emma, **WORDS, field: value})
    assert "data" not in response
    assert [error["extensions"]["code"] for error in response["errors"]] == ["BAD_USER_INPUT"]
    assert client.get(f"/books/{emma}").json["review_count"] == 0


def test_a_mutation_has_only_one_field(client, book):
    emma = book()
    add = f'addReview(bookId: {emma}, rating: 4, reviewer: "a", text: "b") {{ id }}'
    two = f"mutation {{ one: {add} ...More }} fragment More on Mutation {{ two: {add} }}"
    assert code(client, two) == "GRAPHQL_VALIDATION_FAILED"
    assert client.get(f"/books/{emma}").json["review_count"] == 0
    assert data(client, f"mutation {{ __typename one: {add} }}")["__typename"] == "Mutation"
