"""A request with very many errors gets a short problem document, which lists the first ones."""

import json

import pytest

BODIES = {
    "POST /books": {"title": "Emma", "author": "Jane Austen"},
    "POST /products": {"sku": "L-1", "name": "Lamp", "price": "9.90"},
    "PATCH /products/1": {"price": "9.90"},
    "POST /products/1/stock-adjustments": {"delta": 1},
    "POST /books/1/reviews": {"rating": 5, "reviewer": "Ana", "text": "Good."},
}
SHORT = 10_000  # bytes
LISTED = 20


@pytest.mark.parametrize("route", BODIES)
def test_a_body_with_very_many_unknown_names_gets_a_short_422(shared_client, route):
    method, path = route.split()
    names = [f"u{number:05}" for number in range(80_000)]
    body = {**BODIES[route], **dict.fromkeys(names, 1)}
    response = shared_client.open(path, method=method, json=body)
    assert response.status_code == 422
    assert len(response.data) < SHORT
    errors = response.json["errors"]
    # In the order of the body, so that the same request always gets the same response.
    assert [error["pointer"] for error in errors] == [f"/{n}" for n in names[:LISTED]]
    assert f"{80_000 - LISTED} more errors are not listed" in response.json["detail"]


def test_the_errors_of_known_fields_come_first(shared_client):
    body = {**dict.fromkeys(map(str, range(1000)), 1), "title": 1, "published_year": "x"}
    errors = shared_client.post("/books", json=body).json["errors"]
    assert [e["pointer"] for e in errors[:3]] == ["/title", "/author", "/published_year"]


def test_a_list_of_all_errors_does_not_speak_of_more(shared_client):
    body = dict.fromkeys(map(str, range(LISTED)), 1)
    response = shared_client.post("/books", json={**body, "title": "T", "author": "A"})
    assert len(response.json["errors"]) == LISTED
    assert "more" not in response.json["detail"]


@pytest.mark.parametrize("path", ["/books", "/books/1", "/products", "/products/search"])
def test_a_query_string_with_very_many_unknown_names_gets_a_short_422(shared_client, path):
    response = shared_client.get(f"{path}?" + "&".join(f"n{number}" for number in range(1500)))
    assert response.status_code == 422
    assert len(response.data) < SHORT
    assert len(response.json["errors"]) == LISTED
    assert "1480 more errors" in response.json["detail"]


@pytest.mark.parametrize("name", ["x", "~", "/", "\u65e5", "\\ud800", "\u0000"])
def test_a_very_long_name_is_cut_in_the_pointer(shared_client, name):
    body = json.dumps({"NAME": 1}).replace("NAME", json.dumps(name * 140_000)[1:-1])
    response = shared_client.post("/books", data=body, content_type="application/json")
    assert response.status_code == 422
    assert len(response.data) < SHORT
    [pointer] = [e["pointer"] for e in response.json["errors"] if "Unknown" in e["detail"]]
    assert pointer.endswith("…")


@pytest.mark.parametrize("query", ["x" * 7_000, "x" * 7_000 + "=1&" + "x" * 7_000 + "=2"])
def test_a_very_long_query_name_is_cut_in_the_pointer(shared_client, query):
    response = shared_client.get(f"/books?{query}")
    assert response.status_code == 422
    assert len(response.data) < 1_000


@pytest.mark.parametrize(
    ("method", "path", "known"),
    [
        ("POST", "/books", "title, author, isbn, published_year"),
        ("POST", "/books/1/reviews", "rating, reviewer, text"),
        ("POST", "/products", "sku, name, price, stock_level"),
        ("PATCH", "/products/1", "price, stock_level"),
        ("POST", "/products/1/stock-adjustments", "delta, reason"),
    ],
)
def test_an_unknown_field_is_told_the_known_ones(shared_client, method, path, known):
    response = shared_client.open(path, method=method, json={"Title": 1})
    [detail] = [e["detail"] for e in response.json["errors"] if e["pointer"] == "/Title"]
    assert detail.startswith("Unknown field.")
    assert known in detail


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/books", "q, author, isbn"),
        ("/products/search", "name, min_price, max_price"),
        ("/books/1/reviews", "limit, cursor, include_total"),
    ],
)
def test_an_unknown_query_name_is_told_the_known_ones(shared_client, path, known):
    [error] = shared_client.get(f"{path}?name_like=x").json["errors"][:1]
    assert error["pointer"] == "/name_like"
    assert error["detail"].startswith("Unknown field.")
    for name in known.split(", "):
        assert name in error["detail"]


def test_an_operation_without_query_names_says_so(shared_client):
    [error] = shared_client.get("/books/1?fields=title").json["errors"]
    assert error["detail"] == "Unknown query parameter: this operation has none."
