"""What the routes of exports return: formats, headers, columns, and what they refuse."""

import csv
import gzip
import io
import json

import pytest

from app.config import EXPORTS, Rate

ROUTES = ["/books/export", "/reviews/export", "/products/export", "/stock-adjustments/export"]
LAMP = {"sku": "l1", "name": "Lamp", "price": "19.90", "stock_level": 5}


@pytest.fixture
def shop(client, book, review):
    """A book with two reviews, one of them hidden, and an archived and another product."""
    emma = book(isbn="9780141439587", published_year=1815)
    review(emma, rating=5, text="Read, in one night.\nTwice.")
    hidden = review(emma, rating=1, text="Spam")
    assert client.patch(f"/reviews/{hidden}", json={"hidden": True}).status_code == 200
    for sku in ("l1", "l2"):
        assert client.post("/products", json={**LAMP, "sku": sku}).status_code == 201
    assert client.patch("/products/2", json={"archived": True}).status_code == 200
    return client


def objects(response):
    assert response.status_code == 200
    return [json.loads(line) for line in response.text.splitlines()]


def records(response):
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


def test_ndjson_has_what_get_shows_and_the_source_id(shop):
    [book] = objects(shop.get("/books/export"))
    assert book == {**shop.get("/books/1").json, "source_id": None}
    assert book["stars"] == {"1": 0, "2": 0, "3": 0, "4": 0, "5": 1}
    [review] = objects(shop.get("/reviews/export"))
    assert review == {**shop.get("/reviews/1").json, "source_id": None}


def test_archived_products_are_exported_and_hidden_reviews_are_not(shop):
    products = objects(shop.get("/products/export"))
    assert [product["archived"] for product in products] == [False, True]
    shown = [shop.get(f"/products/{product['id']}").json for product in products]
    assert products == [{n: v for n, v in p.items() if n != "available"} for p in shown]
    assert [review["id"] for review in objects(shop.get("/reviews/export"))] == [1]


def test_the_ledger_of_all_products_is_exported(shop):
    entries = objects(shop.get("/stock-adjustments/export"))
    assert [(e["product_id"], e["delta"], e["reason"]) for e in entries] == [
        (1, 5, "first stock"),
        (2, 5, "first stock"),
    ]


def cell_of(value):
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("route", ROUTES)
def test_csv_has_the_values_of_ndjson(shop, route):
    expected = []
    for item in objects(shop.get(route)):
        stars = item.pop("stars", {})
        flat = {**item, **{f"stars.{rating}": count for rating, count in stars.items()}}
        expected.append({name: cell_of(value) for name, value in flat.items()})
    assert records(shop.get(f"{route}?format=csv")) == expected


@pytest.mark.parametrize(
    ("accept", "query", "expected"),
    [
        ("*/*", "", "application/x-ndjson"),
        ("", "", "application/x-ndjson"),
        ("text/csv", "", "text/csv"),
        ("text/csv, */*;q=0.1", "", "text/csv"),
        ("application/x-ndjson", "", "application/x-ndjson"),
        ("application/json", "?format=csv", "text/csv"),
        ("text/csv", "?format=ndjson", "application/x-ndjson"),
    ],
)
def test_the_query_or_accept_decides_the_format(client, accept, query, expected):
    response = client.get(f"/books/export{query}", headers={"Accept": accept})
    assert (response.status_code, response.mimetype) == (200, expected)
    assert response.headers["Vary"] == "Accept, Accept-Encoding"


def test_other_formats_and_unknown_queries_are_refused(client):
    assert client.get("/books/export", headers={"Accept": "application/json"}).status_code == 406
    assert client.get("/books/export?format=xml").status_code == 422
    assert client.get("/books/export?limit=5").status_code == 422
    assert client.post("/books/export", json={}).status_code == 405


def test_an_export_is_compressed_where_that_is_accepted(shop):
    plain = shop.get("/reviews/export")
    response = shop.get("/reviews/export", headers={"Accept-Encoding": "gzip"})
    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(response.data) == plain.data
    assert "Content-Encoding" not in plain.headers


@pytest.mark.parametrize("route", ROUTES)
def test_an_empty_table_is_an_empty_file_or_a_line_of_names(client, route):
    assert client.get(route).data == b""
    lines = client.get(f"{route}?format=csv").text.split("\r\n")
    assert lines[0].startswith("id,")
    assert lines[1:] == [""]


@pytest.mark.parametrize("route", ROUTES)
def test_an_export_is_not_stored_and_has_no_etag(client, route):
    response = client.get(route, headers={"If-None-Match": "*"})
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert "ETag" not in response.headers
    name = route.split("/")[1]
    assert response.headers["Content-Disposition"] == f"attachment; filename={name}.ndjson"


def test_head_has_the_headers_of_get_and_occupies_nothing_afterwards(shop):
    shown = dict(shop.get("/books/export").headers)
    for _ in range(EXPORTS + 1):
        response = shop.head("/books/export")
        assert (response.status_code, response.data) == (200, b"")
    assert {**response.headers, "X-Request-ID": ""} == {**shown, "X-Request-ID": ""}


def test_http_1_0_is_refused_as_an_incomplete_file_could_not_be_told(client):
    response = client.get("/books/export", environ_overrides={"SERVER_PROTOCOL": "HTTP/1.0"})
    assert response.status_code == 400
    assert "HTTP/1.1" in response.json["detail"]


def test_more_exports_than_may_run_are_refused_until_one_ends(shop):
    running = [shop.get("/books/export", buffered=False) for _ in range(EXPORTS)]
    refused = shop.get("/books/export")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
    running[0].close()
    assert shop.get("/books/export").status_code == 200
    running[1].close()


def test_a_key_that_is_invalid_and_a_limit_that_is_reached_hold_for_exports(make_app, database):
    client = make_app(database, rate_limit_read=Rate(1, 60), require_api_key=True).test_client()
    response = client.get("/books/export", headers={"Authorization": "Bearer wrong"})
    assert response.status_code == 401
    assert client.get("/books/export").status_code == 429
