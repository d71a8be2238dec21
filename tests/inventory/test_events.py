"""The events of products, stock and holds: what each kind of write adds to the log."""

import pytest
from sqlalchemy import text

from app.extensions import db
from tests.app.loading.csv_load import load_command
from tests.inventory.stock import ledger

LAMP = {"sku": "l1", "name": "Lamp", "price": "19.9", "stock_level": 5}


@pytest.fixture
def lamp(client, added):
    """The product 1, with 5 units in stock of which 2 are held."""
    assert client.post("/products", json=LAMP).status_code == 201
    hold = {"quantity": 2, "expires_in": 600_000, "reason": "cart"}
    assert client.post("/products/1/holds", json=hold).status_code == 201
    added()
    return "/products/1"


def shown(client, path):
    response = client.get(path)
    assert response.status_code == 200
    return response.json


def entry(client):
    """Return what an event tells of the newest entry of the ledger of product 1."""
    delta, _, reason = ledger(client, 1)[0]
    return {"delta": delta, "reason": reason}


def test_a_new_product_is_one_event_with_its_stock(client, added):
    for _ in range(2):
        client.post("/products", json=LAMP, headers={"Idempotency-Key": "k"})
    product = shown(client, "/products/1")
    assert (product["price"], product["available"]) == ("19.90", 5)
    assert added() == [("product.created", "product:1", product)]


@pytest.mark.parametrize(
    ("body", "types"),
    [
        ({"name": "Lampe"}, ["product.changed"]),
        ({"sku": "l2", "price": 3, "stock_level": 5}, ["product.changed"]),
        ({"stock_level": 9}, ["stock.changed"]),
        ({"stock_level": 2, "name": "Lampe"}, ["product.changed", "stock.changed"]),
        ({"archived": True}, ["product.archived"]),
        ({"archived": True, "name": "Lampe"}, ["product.changed", "product.archived"]),
        ({"archived": True, "stock_level": 3}, ["product.archived", "stock.changed"]),
        (
            {"archived": True, "stock_level": 3, "price": 1},
            ["product.changed", "product.archived", "stock.changed"],
        ),
    ],
)
def test_a_changed_product_is_in_the_events_of_what_has_changed(client, lamp, added, body, types):
    assert client.patch(lamp, json=body).status_code == 200
    product = shown(client, lamp)
    assert product["available"] == product["stock_level"] - 2
    expected = [(kind, "product:1", product) for kind in types]
    if types[-1] == "stock.changed":
        expected[-1] = ("stock.changed", "product:1", {**product, **entry(client)})
    assert added() == expected


def test_a_restored_product_is_an_event(client, lamp, added):
    client.patch(lamp, json={"archived": True})
    added()
    client.patch(lamp, json={"archived": False, "stock_level": 7})
    product = shown(client, lamp)
    assert (product["archived"], product["available"]) == (False, 5)
    assert added() == [
        ("product.restored", "product:1", product),
        ("stock.changed", "product:1", {**product, "delta": 2, "reason": "stock level set"}),
    ]


@pytest.mark.parametrize("reason", ["delivery 42", None])
def test_an_adjustment_is_an_event_with_its_delta_and_its_reason(client, lamp, added, reason):
    client.post(f"{lamp}/stock-adjustments", json={"delta": 3, "reason": reason})
    told = {**shown(client, lamp), "delta": 3, "reason": reason}
    assert added() == [("stock.changed", "product:1", told)]


@pytest.mark.parametrize("reason", ["cart 7", None])
def test_a_hold_is_an_event_when_it_begins_and_when_it_ends(client, lamp, added, reason):
    body = {"quantity": 1, "expires_in": 600, "reason": reason}
    for _ in range(2):
        client.post(f"{lamp}/holds", json=body, headers={"Idempotency-Key": "k"})
    assert added() == [("hold.created", "product:1", shown(client, "/holds/2"))]
    client.post("/holds/2/commit")
    client.post("/holds/2/commit")
    told = {**shown(client, lamp), "delta": -1, "reason": reason or "hold 2"}
    assert (told["stock_level"], told["available"]) == (4, 2)
    assert added() == [
        ("hold.committed", "product:1", shown(client, "/holds/2")),
        ("stock.changed", "product:1", told),
    ]
    for _ in range(2):
        assert client.delete("/holds/1").status_code == 204
    assert added() == [("hold.released", "product:1", shown(client, "/holds/1"))]


def test_what_an_expired_hold_held_is_available_in_the_next_event(app, client, lamp, added):
    with app.app_context(), db.engine.begin() as connection:
        connection.execute(text("UPDATE hold SET expires_at = '2020-01-01 00:00:00'"))
    client.patch(lamp, json={"name": "Lampe"})
    ((_, _, product),) = added()
    assert (product["stock_level"], product["available"]) == (5, 5)
    assert client.delete("/holds/1").status_code == 204
    assert added() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "if_match", "status"),
    [
        ("post", "", LAMP, None, 409),
        ("post", "", {**LAMP, "price": -1}, None, 422),
        ("patch", "/1", {"name": "Lamp", "price": "19.90", "stock_level": 5}, None, 200),
        ("patch", "/1", {"archived": False}, None, 200),
        ("patch", "/1", {"name": "Lampe"}, '"9"', 412),
        ("patch", "/1", {"name": "Lampe", "stock_level": 1}, None, 409),
        ("patch", "/2", {"sku": "l1"}, None, 409),
        ("patch", "/2", {"stock_level": 8}, None, 409),
        ("patch", "/9", {"name": "Lampe"}, None, 404),
        ("post", "/1/stock-adjustments", {"delta": -4}, None, 409),
        ("post", "/1/stock-adjustments", {"delta": 0}, None, 422),
        ("post", "/1/stock-adjustments", {"delta": 1}, '"9"', 412),
        ("post", "/1/holds", {"quantity": 4, "expires_in": 60}, None, 409),
        ("post", "/2/holds", {"quantity": 1, "expires_in": 60}, None, 409),
    ],
)
def test_a_refused_or_repeated_write_is_no_event(  # noqa: PLR0917 - the columns of a table
    client, lamp, added, method, path, body, if_match, status
):
    client.post("/products", json={**LAMP, "sku": "archived"})
    client.patch("/products/2", json={"archived": True})
    added()
    headers = {"If-Match": if_match} if if_match else {}
    response = client.open(f"/products{path}", method=method, json=body, headers=headers)
    assert response.status_code == status
    assert added() == []


def test_ends_of_a_hold_that_are_refused_are_no_events(client, lamp, added):
    client.post(f"{lamp}/holds", json={"quantity": 1, "expires_in": 600})
    client.post("/holds/1/commit")
    client.delete("/holds/2")
    added()
    assert client.delete("/holds/1").status_code == 409
    assert client.post("/holds/2/commit").status_code == 409
    assert client.post("/holds/9/commit").status_code == 404
    assert added() == []


def test_a_write_whose_commit_fails_is_no_event(client, lamp, added, monkeypatch):
    def fail():
        raise RuntimeError("injected")

    with monkeypatch.context() as patch:
        patch.setattr(db.session, "commit", fail)
        assert client.patch(lamp, json={"name": "Lampe"}).status_code == 500
    assert added() == []


def test_a_load_writes_the_events_of_each_row_that_is_new_or_differs(
    app, client, lamp, added, tmp_path
):
    load = load_command(app, "products", tmp_path / "products.csv")
    head, old = "sku,name,price,stock_level\n", "l1,Lamp,19.90,5\n"
    load(f"{head}{old}l2,Shelf,5,3\n")
    assert added() == [("product.created", "product:2", shown(client, "/products/2"))]
    load(None)
    assert added() == []
    load(f"{head}l1,Lampe,19.90,6\nl2,Shelf,5,2\nl3,,1,1\n")
    first, second = (shown(client, f"/products/{number}") for number in (1, 2))
    assert (first["stock_level"], first["available"]) == (6, 4)
    assert added() == [
        ("product.changed", "product:1", first),
        ("stock.changed", "product:1", {**first, **entry(client)}),
        ("stock.changed", "product:2", {**second, "delta": -1, "reason": "load"}),
    ]
    load(f"{head}l1,Lampe,19.90,1\n")  # fewer than are held
    assert added() == []


def test_a_load_of_an_export_archives_and_restores(app, client, lamp, added, tmp_path):
    load = load_command(app, "products", tmp_path / "products.csv")
    head, key = "id,sku,name,price,stock_level,archived\n", ("--key", "id")
    load(f"{head}1,l1,Lamp,19.90,5,true\n", *key)
    assert added() == [("product.archived", "product:1", shown(client, lamp))]
    load(f"{head}1,l1,Lamp,19.90,4,false\n", *key)
    product = shown(client, lamp)
    told = {**product, "delta": -1, "reason": "load"}
    assert added() == [
        ("product.restored", "product:1", product),
        ("stock.changed", "product:1", told),
    ]
