"""Corrections of products, and archived ones, on both databases."""

import pytest

from tests.inventory.stock import ledger

LISTS = ["/products?", "/products?sort=name&", "/products?sort=-price&"]
SEARCHES = [
    "/products/search?name=lamp&",
    "/products/search?name=la&",
    "/products/search?min_price=1&sort=price&",
]


@pytest.fixture
def archive(client):
    """Archive a product, or restore it."""

    def set_archived(product_id, archived=True):
        changed = client.patch(f"/products/{product_id}", json={"archived": archived})
        assert (changed.status_code, changed.json["archived"]) == (200, archived)

    return set_archived


def ids(client, path):
    return {item["id"] for item in client.get(path).json["items"]}


def test_name_and_sku_are_corrected(client, product):
    lamp = product(sku="L-1", name="Lamp")
    changed = client.patch(f"/products/{lamp}", json={"sku": "L-2", "name": "Lantern"})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    assert (changed.json["sku"], changed.json["name"]) == ("L-2", "Lantern")
    assert changed.json == client.get(f"/products/{lamp}").json
    assert ids(client, "/products/search?name=lant") == {lamp}
    assert ids(client, "/products/search?name=lamp") == set()


def test_an_sku_of_another_product_is_a_conflict_and_changes_nothing(client, product):
    product(sku="L-1")
    other = product(sku="L-2")
    taken = client.patch(f"/products/{other}", json={"sku": "L-1", "price": 1})
    assert taken.status_code == 409
    assert "L-1" in taken.json["detail"]
    assert client.get(f"/products/{other}").headers["ETag"] == '"1"'


def test_an_sku_of_an_archived_product_stays_taken(client, product, archive):
    archive(product(sku="L-1"))
    made = client.post("/products", json={"sku": "L-1", "name": "Lamp", "price": 1})
    assert made.status_code == 409


@pytest.mark.parametrize("path", [*LISTS, *SEARCHES])
def test_archived_products_are_in_lists_of_their_own_only(client, product, archive, path):
    made = [product(price=2) for _ in range(4)]
    for product_id in made[::2]:
        archive(product_id)
    assert ids(client, path) == {*made[1::2]}
    assert ids(client, f"{path}archived=false") == {*made[1::2]}
    assert ids(client, f"{path}archived=true") == {*made[::2]}
    first = client.get(f"{path}archived=true&limit=1").json
    second = client.get(f"{path}archived=true&limit=1&cursor={first['next_cursor']}").json
    assert {first["items"][0]["id"], second["items"][0]["id"]} == {*made[::2]}
    assert second["next_cursor"] is None
    archive(made[0], archived=False)
    assert ids(client, path) == {*made[1::2], made[0]}


def test_the_total_is_that_of_the_list(client, product, archive):
    made = [product() for _ in range(3)]
    archive(made[0])
    assert client.get("/products?include_total=true").json["total"] == 2
    assert client.get("/products?include_total=true&archived=true").json["total"] == 1


def test_a_cursor_of_one_list_is_none_of_the_other(client, product, archive):
    for _ in range(2):
        archive(product())
    cursor = client.get("/products?archived=true&limit=1").json["next_cursor"]
    assert client.get(f"/products?limit=1&cursor={cursor}").status_code == 400


def test_an_archived_product_is_shown_and_its_stock_stays(client, product, archive):
    lamp = product(stock_level=5)
    held = client.post(f"/products/{lamp}/holds", json={"quantity": 2, "expires_in": 900}).json
    archive(lamp)
    assert client.get(f"/products/{lamp}").json["archived"] is True
    writes = [
        client.patch(f"/products/{lamp}", json={"stock_level": 6}),
        client.post(f"/products/{lamp}/stock-adjustments", json={"delta": 1}),
        client.post(f"/products/{lamp}/holds", json={"quantity": 1, "expires_in": 900}),
        client.post(f"/holds/{held['id']}/commit"),
    ]
    assert [(write.status_code, "archived" in write.json["detail"]) for write in writes] == [
        (409, True)
    ] * 4
    assert ledger(client, lamp) == [(5, 5, "first stock")]
    changed = client.patch(f"/products/{lamp}", json={"price": 1, "stock_level": 5})
    assert (changed.status_code, changed.json["price"]) == (200, "1.00")
    archive(lamp, archived=False)
    assert client.post(f"/holds/{held['id']}/commit").status_code == 200
    assert ledger(client, lamp)[0] == (-2, 3, "hold 1")


def test_a_hold_of_an_archived_product_can_be_released(client, product, archive):
    lamp = product(stock_level=5)
    held = client.post(f"/products/{lamp}/holds", json={"quantity": 2, "expires_in": 900}).json
    archive(lamp)
    assert client.delete(f"/holds/{held['id']}").status_code == 204
    assert client.get(f"/products/{lamp}").json["available"] == 5


def test_one_change_archives_and_sets_the_level_or_restores_and_sets_it(client, product):
    lamp = product(stock_level=5)
    gone = client.patch(f"/products/{lamp}", json={"archived": True, "stock_level": 0})
    assert (gone.status_code, gone.json["stock_level"]) == (200, 0)
    back = client.patch(f"/products/{lamp}", json={"archived": False, "stock_level": 4})
    assert (back.status_code, back.json["stock_level"]) == (200, 4)


def test_a_product_is_never_deleted(client, product):
    lamp = product()
    refused = client.delete(f"/products/{lamp}")
    assert refused.status_code == 405
    assert "archive" in refused.json["detail"].lower()
    assert client.get(f"/products/{lamp}").status_code == 200
