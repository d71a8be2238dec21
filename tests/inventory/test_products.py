import re

import pytest


def test_a_product_is_returned_as_it_was_added(client, product):
    lamp = product(sku="L-1", name=" Lampe\u0301 ", price=19.9, stock_level=3)
    shown = client.get(f"/products/{lamp}")
    assert shown.status_code == 200
    assert shown.headers["ETag"] == '"1"'
    fields = {key: shown.json[key] for key in ("id", "sku", "name", "price", "stock_level")}
    assert fields == {
        "id": lamp,
        "sku": "L-1",
        "name": "Lamp\u00e9",
        "price": "19.90",
        "stock_level": 3,
    }
    assert shown.json["updated_at"].endswith("Z")


def test_an_unknown_product_is_not_found(client):
    for path in ("/products/1", "/products/1/stock-adjustments"):
        assert client.get(path).status_code == 404
    assert client.patch("/products/1", json={"price": 1}).status_code == 404
    assert client.post("/products/1/stock-adjustments", json={"delta": 1}).status_code == 404


def test_an_existing_sku_is_a_conflict(client, product):
    product(sku="L-1")
    response = client.post("/products", json={"sku": "L-1", "name": "Lamp", "price": 1})
    assert response.status_code == 409
    assert len(client.get("/products").json["items"]) == 1


@pytest.mark.parametrize("hidden", ["\u200b", "\u00ad", "\u2800", "\u3164", "\ufe0f", "\ufeff"])
@pytest.mark.parametrize("around", ["ZW-1{}", "{}ZW-1", "ZW{}-1"])
def test_two_products_never_have_skus_that_differ_in_what_nobody_can_see(
    client, product, around, hidden
):
    product(sku="ZW-1")
    body = {"sku": around.format(hidden), "name": "Lamp", "price": 1}
    response = client.post("/products", json=body)
    assert response.status_code == 422
    assert response.json["errors"] == [
        {
            "pointer": "/sku",
            "in": "body",
            "detail": f"Contains the invisible character U+{ord(hidden):04X}.",
        }
    ]


@pytest.mark.parametrize("sku", ["ZW\u00a01", "ZW\u20091", "ZW\u30001"])
def test_a_sku_has_no_space_that_looks_like_another(client, sku):
    response = client.post("/products", json={"sku": sku, "name": "Lamp", "price": 1})
    assert response.status_code == 422


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("0", "0.00"),
        (0, "0.00"),
        ("19.99", "19.99"),
        (19.99, "19.99"),
        ("99999999.99", "99999999.99"),
        (99999999.99, "99999999.99"),
        ("0.1", "0.10"),
        (1.10, "1.10"),
        ("007", "7.00"),
        ("19.9900", "19.99"),
        (100.0, "100.00"),
    ],
)
def test_a_price_is_stored_to_the_cent(client, product, sent, stored):
    assert client.get(f"/products/{product(price=sent)}").json["price"] == stored


@pytest.mark.parametrize(
    "price",
    [
        "-1",
        -1,
        "1.005",
        1.005,
        "1e2",
        "1,50",
        "",
        " 1",
        "\u0661",
        "100000000",
        1e11,
        True,
        None,
        "NaN",
        [],
        "+1",
    ],
)
def test_an_invalid_price_is_rejected(client, price):
    response = client.post("/products", json={"sku": "L-1", "name": "Lamp", "price": price})
    assert response.status_code == 422
    assert [error["pointer"] for error in response.json["errors"]] == ["/price"]


@pytest.mark.parametrize(("raw", "stored"), [("19.9900", "19.99"), ("1e2", "100.00")])
def test_a_number_as_price_has_its_exact_value_in_any_notation(client, raw, stored):
    body = f'{{"sku": "L-1", "name": "Lamp", "price": {raw}, "stock_level": 5.0}}'
    made = client.post("/products", data=body, content_type="application/json").json
    assert (made["price"], made["stock_level"]) == (stored, 5)


@pytest.mark.parametrize("raw", ["-0", "-0.0", "1e400", "1e-400", "1e999999999", "1e-999999999"])
def test_an_invalid_number_as_price_is_rejected(client, raw):
    body = f'{{"sku": "L-1", "name": "Lamp", "price": {raw}}}'
    response = client.post("/products", data=body, content_type="application/json")
    assert response.status_code == 422


def test_a_change_of_price_makes_a_new_version(client, product):
    lamp = product(price="19.99", stock_level=3)
    changed = client.patch(f"/products/{lamp}", json={"price": "24.50"})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert (changed.json["price"], changed.json["stock_level"]) == ("24.50", 3)
    assert client.get(f"/products/{lamp}").headers["ETag"] == '"2"'


def test_a_change_to_equal_values_makes_no_new_version(client, product):
    lamp = product(price="19.99", stock_level=3)
    same = client.patch(f"/products/{lamp}", json={"price": 19.99, "stock_level": 3})
    assert (same.status_code, same.headers["ETag"]) == (200, '"1"')


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"sku": "a\u200b"},
        {"archived": "yes"},
        {"price": None},
        {"stock_level": -1},
        {"stock_level": 2**31},
        [],
    ],
)
def test_an_invalid_change_is_rejected(client, product, body):
    lamp = product(stock_level=3)
    assert client.patch(f"/products/{lamp}", json=body).status_code == 422
    assert client.get(f"/products/{lamp}").headers["ETag"] == '"1"'


@pytest.mark.parametrize(
    ("header", "status"),
    [('"1"', 200), ('"2"', 412), ('W/"1"', 412), ("*", 200), ('"7", "1"', 200), ('""', 412)],
)
def test_if_match_accepts_only_the_current_version(client, product, header, status):
    lamp = product(price="19.99")
    response = client.patch(f"/products/{lamp}", json={"price": 1}, headers={"If-Match": header})
    assert response.status_code == status
    assert client.get(f"/products/{lamp}").json["price"] == ("1.00" if status == 200 else "19.99")


def test_an_adjustment_changes_the_stock(client, product):
    lamp = product(stock_level=3)
    adjusted = client.post(
        f"/products/{lamp}/stock-adjustments", json={"delta": -3, "reason": "order 42"}
    )
    assert (adjusted.status_code, adjusted.headers["ETag"]) == (201, '"2"')
    assert adjusted.json["stock_level"] == 0


@pytest.mark.parametrize("delta", [-4, 2**31 - 3, -(2**31) + 1])
def test_an_adjustment_out_of_bounds_is_a_conflict_and_changes_nothing(client, product, delta):
    lamp = product(stock_level=3)
    response = client.post(f"/products/{lamp}/stock-adjustments", json={"delta": delta})
    assert response.status_code == 409
    assert client.get(f"/products/{lamp}").json["stock_level"] == 3
    assert len(client.get(f"/products/{lamp}/stock-adjustments").json["items"]) == 1


@pytest.mark.parametrize("delta", [0, 0.0, 1.5, "1", True, None, 2**31, -(2**31), 2**63, 1e300])
def test_an_invalid_delta_is_rejected(client, product, delta):
    response = client.post(f"/products/{product()}/stock-adjustments", json={"delta": delta})
    assert response.status_code == 422
    assert response.json["errors"][0]["pointer"] == "/delta"


def test_every_change_of_stock_is_in_the_ledger(client, product):
    lamp = product(stock_level=10)
    client.post(f"/products/{lamp}/stock-adjustments", json={"delta": -4, "reason": "order 1"})
    client.patch(f"/products/{lamp}", json={"stock_level": 9, "price": 1})
    client.patch(f"/products/{lamp}", json={"price": 2})
    client.patch(f"/products/{lamp}", json={"stock_level": 0})
    ledger = client.get(f"/products/{lamp}/stock-adjustments").json["items"]
    assert [(row["delta"], row["stock_level"], row["reason"]) for row in ledger] == [
        (-9, 0, "stock level set"),
        (3, 9, "stock level set"),
        (-4, 6, "order 1"),
        (10, 10, "first stock"),
    ]
    assert (
        sum(row["delta"] for row in ledger) == client.get(f"/products/{lamp}").json["stock_level"]
    )


@pytest.mark.parametrize("sort", ["id", "name", "-name", "price", "-price"])
def test_the_pages_of_every_order_contain_each_product_once(client, product, sort):
    names = ["Zebra", "apple", "\u00c4pfel", "Lamp", "Lamp", "\u65e5\u672c", "lamp", "Stra\u00dfe"]
    for number, name in enumerate(names):
        product(name=name, price=number % 3)
    pages, cursor = [], ""
    while cursor is not None:
        page = client.get(f"/products?sort={sort}&limit=3{cursor and f'&cursor={cursor}'}").json
        pages += page["items"]
        cursor = page["next_cursor"]
    assert sorted(item["id"] for item in pages) == list(range(1, len(names) + 1))
    keys = {
        "id": lambda item: item["id"],
        "name": lambda item: (item["name"].casefold(), item["id"]),
        "price": lambda item: (float(item["price"]), item["id"]),
    }
    ordered = sorted(pages, key=keys[sort.removeprefix("-")], reverse=sort.startswith("-"))
    assert pages == ordered
    names = ["id", "sku", "name", "price", "stock_level", "available", "archived", "updated_at"]
    assert list(pages[0]) == names


def test_an_unknown_order_is_rejected(client):
    assert client.get("/products?sort=stock_level").status_code == 422


def test_if_match_accepts_the_etag_of_a_compressed_response(client, product):
    lamp = product(name="\u65e5" * 400, sku="\u672c" * 40)
    etag = client.get(f"/products/{lamp}", headers={"Accept-Encoding": "gzip"}).headers["ETag"]
    assert etag == '"1-gzip"'
    response = client.patch(f"/products/{lamp}", json={"price": 1}, headers={"If-Match": etag})
    assert response.status_code == 200


def test_an_adjustment_has_a_location_of_its_own(client, product):
    lamp, other = product(stock_level=3), product(stock_level=3)
    adjusted = client.post(
        f"/products/{lamp}/stock-adjustments", json={"delta": -2, "reason": "order 42"}
    )
    assert adjusted.json["id"] == lamp
    assert adjusted.json["stock_level"] == 1
    location = adjusted.headers["Location"]
    assert re.fullmatch(rf"/products/{lamp}/stock-adjustments/\d+", location)
    found = client.get(location).json
    assert (found["delta"], found["stock_level"], found["reason"]) == (-2, 1, "order 42")
    assert found == client.get(f"/products/{lamp}/stock-adjustments").json["items"][0]
    assert client.get(location.replace(f"/{lamp}/", f"/{other}/")).status_code == 404
    assert client.get(f"/products/{lamp}/stock-adjustments/99").status_code == 404
