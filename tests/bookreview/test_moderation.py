"""Hidden reviews: who may hide and see them, and that nobody else finds a trace of them."""

import pytest

from bookreview.models import RATINGS
from tests.app.auth.keys import bearer, make_key
from tests.bookreview.graphql_client import data

MODERATE, WRITE = "reviews:moderate", "reviews:write"
HIDE, SHOW = {"hidden": True}, {"hidden": False}
NO_STARS = {str(rating): 0 for rating in RATINGS}


@pytest.fixture
def key(app):
    """A factory of the headers with a new key."""
    return lambda *scopes: bearer(make_key(app, *scopes))


@pytest.fixture
def emma(book, review):
    """A book with the reviews 1 and 2."""
    emma = book()
    review(emma, rating=1, text="Spam.")
    review(emma, rating=5)
    return emma


def listed(client, book_id):
    """Return the ids of the reviews of the only book: every list and every count agrees."""
    ids = "reviews { nodes { id } totalCount }"
    graphql = data(client, f"{{ {ids} book(id: {book_id}) {{ {ids} }} }}")
    path = f"/books/{book_id}/reviews"
    pages = [
        client.get(f"{path}?include_total=true").json,
        *(client.get(f"{path}?sort={sort}").json for sort in ("oldest", "highest", "lowest")),
    ]
    exported = client.get("/reviews/export", headers={"Accept": "text/csv"})
    found = {tuple(sorted(item["id"] for item in page["items"])) for page in pages}
    for connection in (graphql["reviews"], graphql["book"]["reviews"]):
        found.add(tuple(sorted(int(node["id"]) for node in connection["nodes"])))
        assert connection["totalCount"] == pages[0]["total"]
    found.add(tuple(int(line.split(b",")[0]) for line in exported.data.splitlines()[1:]))
    assert client.get("/figures").json["reviews"] == pages[0]["total"] == len(min(found))
    assert len(found) == 1
    return list(min(found))


def test_a_hidden_review_is_in_no_list_no_count_and_no_average(client, emma):
    assert listed(client, emma) == [1, 2]
    response = client.patch("/reviews/1", json=HIDE)
    assert (response.status_code, response.json["hidden"]) == (200, True)
    assert listed(client, emma) == [2]
    shown = client.get(f"/books/{emma}").json
    assert (shown["review_count"], shown["average_rating"]) == (1, 5.0)
    assert shown["stars"] == NO_STARS | {"5": 1}
    assert client.get("/reviews/1").status_code == 404
    again = client.patch("/reviews/1", json=SHOW)
    assert again.json == client.get("/reviews/1").json
    assert "hidden" not in again.json
    assert listed(client, emma) == [1, 2]
    shown = client.get(f"/books/{emma}").json
    assert (shown["review_count"], shown["average_rating"]) == (2, 3.0)


def test_to_hide_or_to_show_twice_is_the_same_as_once(client, emma):
    for body, etag in ((SHOW, '"1"'), (HIDE, '"2"'), (HIDE, '"2"'), (SHOW, '"3"'), (SHOW, '"3"')):
        response = client.patch("/reviews/1", json=body)
        assert (response.status_code, response.headers["ETag"]) == (200, etag)
    assert client.get(f"/books/{emma}").json["review_count"] == 2


def test_a_hidden_review_can_be_corrected_and_deleted_without_being_counted(client, emma):
    client.patch("/reviews/1", json=HIDE)
    before = client.get(f"/books/{emma}")
    assert client.patch("/reviews/1", json={"rating": 3, "text": "Less."}).json["rating"] == 3
    assert client.get(f"/books/{emma}").headers["ETag"] == before.headers["ETag"]
    assert client.patch("/reviews/1", json={"hidden": False, "rating": 4}).status_code == 200
    assert client.get(f"/books/{emma}").json["stars"] == NO_STARS | {"4": 1, "5": 1}
    client.patch("/reviews/1", json=HIDE)
    assert client.delete("/reviews/1").status_code == 204
    assert client.get(f"/books/{emma}").json == {**before.json}


@pytest.mark.parametrize(
    "case",
    [
        ([WRITE], 403, HIDE),
        ([WRITE], 403, SHOW),
        ([WRITE], 403, {"rating": 2, **HIDE}),
        ([WRITE], 200, {"rating": 2}),
        ([MODERATE], 200, HIDE),
        ([MODERATE], 403, {"rating": 2}),
        ([MODERATE], 403, {"text": "x", **HIDE}),
        ([MODERATE, WRITE], 200, {"rating": 2, **HIDE}),
        (["*"], 200, {"rating": 2, **HIDE}),
        (["books:write"], 403, HIDE),
    ],
)
def test_hiding_needs_the_scope_of_moderators_and_correcting_that_of_writers(
    client, review, book, key, case
):
    scopes, status, body = case
    review(book())
    response = client.patch("/reviews/1", json=body, headers=key(*scopes))
    assert response.status_code == status
    if status == 403:
        assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]
        assert client.get("/reviews/1").headers["ETag"] == '"1"'


def test_only_a_key_with_the_scope_sees_a_hidden_review(client, emma, key):
    writer, moderator = key(WRITE), key(MODERATE)
    client.patch("/reviews/1", json=HIDE, headers=moderator)
    seen = client.get("/reviews/1", headers=moderator)
    assert (seen.status_code, seen.json["hidden"], seen.headers["ETag"]) == (200, True, '"2"')
    assert client.head("/reviews/1", headers=moderator).status_code == 200
    for headers in ({}, writer):
        assert client.get("/reviews/1", headers=headers).status_code == 404
    for method, body in (("patch", {"rating": 2}), ("delete", None)):
        response = client.open("/reviews/1", method=method, json=body, headers=writer)
        assert response.status_code == 404
    assert client.get("/reviews/2", headers=moderator).json == client.get("/reviews/2").json


def test_where_keys_are_required_nobody_hides_without_one(make_app, database):
    app = make_app(database, require_api_key=True)
    client, headers = app.test_client(), bearer(make_key(app, "*"))
    client.post("/books", json={"title": "Emma", "author": "J"}, headers=headers)
    words = {"rating": 3, "reviewer": "Ana", "text": "Good."}
    client.post("/books/1/reviews", json=words, headers=headers)
    assert client.patch("/reviews/1", json=HIDE).status_code == 401
    assert client.delete("/reviews/1").status_code == 401
    assert client.delete("/books/1").status_code == 401
    assert client.patch("/reviews/1", json=HIDE, headers=headers).status_code == 200
    assert client.get("/reviews/1").status_code == 404


@pytest.mark.parametrize("with_redis", [True, False])
def test_what_a_moderator_sees_is_neither_from_the_cache_nor_in_it(
    make_app, request, database, with_redis
):
    settings = {"redis_url": request.getfixturevalue("redis_url")} if with_redis else {}
    app = make_app(database, secret_key="of this test", **settings)
    client, moderator = app.test_client(), bearer(make_key(app, MODERATE))
    client.post("/books", json={"title": "Emma", "author": "J"})
    client.post("/books/1/reviews", json={"rating": 3, "reviewer": "Ana", "text": "Good."})
    for _ in range(2):
        assert client.get("/reviews/1").status_code == 200
    hidden = client.patch("/reviews/1", json=HIDE, headers=moderator)
    for _ in range(2):
        seen = client.get("/reviews/1", headers=moderator)
        assert (seen.status_code, seen.json) == (200, hidden.json)
        assert seen.headers["Cache-Status"] == "bookstall; fwd=bypass; detail=not-cacheable"
        assert client.get("/reviews/1").status_code == 404
