"""The Idempotency-Key of a mutation."""

from tests.app.graphql.steps import ADD, BOOKS, ask, codes, reviews

LOST = ADD.replace("bookId: 1", "bookId: 99")


def test_the_same_key_returns_the_first_response_again(app, client, book):
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


def test_a_response_with_errors_is_not_stored(app, client, book):
    book()
    for query, code in [
        (LOST, "NOT_FOUND"),
        (ADD.replace("4", "9"), "BAD_USER_INPUT"),
        ("mutation {", "GRAPHQL_PARSE_FAILED"),
    ]:
        assert codes(ask(client, query, {"Idempotency-Key": "k"})) == [code]
    assert ask(client, ADD, {"Idempotency-Key": "k"}).json["data"]
    assert reviews(app) == 1


def test_a_query_ignores_the_key(client, book):
    empty = ask(client, BOOKS, {"Idempotency-Key": "k"})
    book()
    full = ask(client, BOOKS, {"Idempotency-Key": "k"})
    assert len(full.json["data"]["books"]["nodes"]) == len(empty.json["data"]["books"]["nodes"]) + 1


def test_a_correction_that_changes_nothing_keeps_its_key(client, book, review):
    emma = book(title="Emma")
    number = review(emma, rating=1)
    for key, field in [
        ("a", f'updateBook(id: {emma}, title: "Emma") {{ version }}'),
        ("b", f"updateReview(id: {number}, rating: 1) {{ version }}"),
    ]:
        headers = {"Idempotency-Key": key}
        first, again = (ask(client, f"mutation {{ {field} }}", headers) for _ in range(2))
        assert first.status_code == 200
        assert first.json["data"]
        assert again.headers["Idempotency-Replayed"] == "true"
