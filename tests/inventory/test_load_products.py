"""Loads of products: updates, the stock ledger and simultaneous writes."""

import csv
import secrets
import threading
import unicodedata
from decimal import Decimal
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from app.loading import upsert as upsert_module
from tests.app.loading.csv_load import reasons
from tests.inventory.stock import ledger
from tests.waiting import served, wait_until

DATA = Path(__file__).parent.parent / "data"
SAMPLE = Path(__file__).parent.parent.parent / "sample" / "products.csv"
BY_SOURCE = ("--map", "sku=product_id")
HEAD = "sku,name,price,stock_level\n"
LAMP = "l1,Lamp,19.99,5\n"


def test_real_products_are_loaded_as_the_source_describes_them(client, load, path, wrong_sums):
    result = load((DATA / "products.csv").read_bytes(), *BY_SOURCE)
    assert result.stdout == "loaded 21, updated 0, unchanged 0, rejected 3\n", result.output
    assert sorted(reasons(path)) == [
        "name: Contains a control character.",
        *["price: required for a new product"] * 2,
    ]
    with (DATA / "products.csv").open(newline="", encoding="utf-8") as file:
        source = {row["product_id"]: row for row in csv.DictReader(file)}
    shown = client.get("/products?limit=100").json["items"]
    assert len(shown) == 21
    for product in shown:
        row = source[product["sku"]]
        assert product["name"] == unicodedata.normalize("NFC", row["name"]).strip()
        assert Decimal(product["price"]) == Decimal(row["price"])
        assert product["stock_level"] == int(row["stock_level"])
    assert wrong_sums() == []


def test_a_second_load_of_real_products_changes_nothing(client, load):
    content = (DATA / "products.csv").read_bytes()
    load(content, *BY_SOURCE)
    before = client.get("/products?limit=100").json
    result = load(content, *BY_SOURCE)
    assert result.stdout == "loaded 0, updated 0, unchanged 21, rejected 3\n"
    assert client.get("/products?limit=100").json == before
    assert client.get("/products/1").headers["ETag"] == '"1"'
    assert ledger(client, 1) == [(123, 123, "first stock")]


@pytest.mark.parametrize("written", ["19.99", "19.9900", "0019.990", "19.99000"])
def test_a_price_has_its_exact_value_in_any_notation(client, load, written):
    load(HEAD + f"l1,Lamp,{written},5.0\n")
    shown = client.get("/products/1").json
    assert (shown["price"], shown["stock_level"]) == ("19.99", 5)


@pytest.mark.parametrize("written", ["19.990", "19.999", "1e2", "1.234.50", "+1", "-0"])
def test_a_price_that_the_api_would_reject_is_rejected(load, path, written):
    assert load(HEAD + f"l1,Lamp,{written},5\n").exit_code == 1
    assert reasons(path)[0].startswith("price: ")


@pytest.mark.parametrize("sku", ["ZW-1\u200b", "Z\u00adW-1", "ZW\u2800-1", "\u3164ZW-1"])
def test_a_sku_with_what_nobody_can_see_is_rejected(client, load, path, sku):
    result = load(HEAD + f"ZW-1,Lamp,1,0\n{sku},Lamp,1,0\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 1\n"
    assert reasons(path)[0].startswith("sku: Contains the invisible character U+")


@pytest.mark.parametrize("written", ["-1", "1.5", "2147483648", "many"])
def test_a_stock_level_that_the_api_would_reject_is_rejected(load, path, written):
    assert load(HEAD + f"l1,Lamp,1,{written}\n").exit_code == 1
    assert reasons(path)[0].startswith("stock_level: ")


def test_a_new_product_requires_name_and_price_and_may_have_no_stock_level(client, load, path):
    result = load(HEAD + "l1,,,5\nl2,Lamp,,5\nl3,Lamp,1,\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 2\n"
    assert reasons(path) == [
        "name, price: required for a new product",
        "price: required for a new product",
    ]
    assert client.get("/products").json["items"][0]["stock_level"] == 0


def test_an_update_changes_differing_fields_the_version_and_the_ledger(client, load):
    load(HEAD + LAMP)
    before = client.get("/products/1")
    result = load(HEAD + "l1,LAMP à huile,20,3\n")
    after = client.get("/products/1")
    assert result.stdout == "loaded 0, updated 1, unchanged 0, rejected 0\n"
    assert after.json["updated_at"] > before.json["updated_at"]
    changed = {"name": "LAMP à huile", "price": "20.00", "stock_level": 3, "available": 3}
    assert after.json == {**before.json, **changed, "updated_at": after.json["updated_at"]}
    assert (before.headers["ETag"], after.headers["ETag"]) == ('"1"', '"2"')
    assert ledger(client, 1) == [(-2, 3, "load"), (5, 5, "first stock")]
    assert client.get("/products/search", query_string={"name": "à HUILE"}).json["items"] == [
        after.json
    ]


def test_a_row_equal_to_the_stored_product_changes_nothing(client, load):
    load(HEAD + LAMP)
    before = client.get("/products/1")
    assert load(HEAD + "l1, Lamp ,19.99,5.0\n").stdout.startswith(
        "loaded 0, updated 0, unchanged 1"
    )
    after = client.get("/products/1")
    assert (after.json, after.headers["ETag"]) == (before.json, before.headers["ETag"])


@pytest.mark.parametrize(
    ("content", "change"),
    [
        ("sku,stock_level\nl1,7\n", {"stock_level": 7, "available": 7}),
        ("sku,price\nl1,7\n", {"price": "7.00"}),
        ("sku,name\nl1,Moon\n", {"name": "Moon"}),
        (HEAD + "l1,,,\n", {}),
    ],
)
def test_a_file_may_have_only_changed_fields_and_a_blank_cell_changes_nothing(
    client, load, wrong_sums, content, change
):
    load(HEAD + LAMP)
    before = client.get("/products/1").json
    load(content)
    after = client.get("/products/1").json
    assert {**after, "updated_at": ""} == {**before, **change, "updated_at": ""}
    assert wrong_sums() == []


def test_a_duplicate_sku_is_loaded_once(load, path):
    result = load(HEAD + LAMP + LAMP + LAMP.replace("5", "6"))
    assert result.stdout == "loaded 1, updated 0, unchanged 1, rejected 1\n"
    assert reasons(path) == ["sku l1 is already in line 2, with other values"]


def test_a_file_without_a_sku_is_rejected(load):
    result = load("name,price\nLamp,1\n")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: No column for a key; name one: --map sku=COLUMN. Columns found: name, price.\n",
    )


def test_a_change_between_lookup_and_lock_is_respected(
    client, load, product, monkeypatch, wrong_sums
):
    """The stock changes after the load has read it and before the load locks the row."""
    lamp = product(sku="l1", stock_level=10)
    reject_taken = upsert_module._reject_taken

    def change_after_lookup(*arguments):
        reject_taken(*arguments)
        response = client.patch(f"/products/{lamp}", json={"stock_level": 2})
        assert response.status_code == 200

    monkeypatch.setattr(upsert_module, "_reject_taken", change_after_lookup)
    assert "updated 1" in load("sku,stock_level\nl1,7\n").stdout
    assert ledger(client, lamp)[0] == (5, 7, "load")
    assert client.get(f"/products/{lamp}").headers["ETag"] == '"3"'
    assert wrong_sums() == []


def test_requests_succeed_during_loads_and_the_ledger_adds_up(app, client, load, wrong_sums):
    skus = range(60)
    load(HEAD + "".join(f"s{n},Lamp {n},1,50\n" for n in skus))
    done, statuses = threading.Event(), []

    def write():
        own, number = app.test_client(), 0
        while not done.is_set():
            number += 1
            one = number % len(skus) + 1
            path, level = f"/products/{one}", {"stock_level": number % 90}
            statuses.append(served(partial(own.patch, path, json=level)).status_code)
            adjust = partial(own.post, f"{path}/stock-adjustments", json={"delta": -1})
            statuses.append(served(adjust).status_code)

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    levels = count()

    def are_all_written():
        level = next(levels)
        result = load("sku,stock_level\n" + "".join(f"s{n},{level}\n" for n in skus))
        assert result.exit_code == 0, result.output
        return level >= 5 and {200, 201} <= {*statuses}

    try:
        wait_until(are_all_written)
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert {*statuses} <= {200, 201, 409}
    assert wrong_sums() == []


def test_a_load_invalidates_cached_responses(make_app, database, fresh_redis, path):
    # A key of the test's own, and so entries of its own: the database is used again.
    app = make_app(database, redis_url=fresh_redis, secret_key=secrets.token_hex())
    client, runner = app.test_client(), app.test_cli_runner()
    path.write_text(HEAD + LAMP)
    runner.invoke(args=["products", "load", str(path)])
    urls = (
        "/products",
        "/products/1",
        "/products/search?name=lam",
        "/products/1/stock-adjustments",
    )
    for url in urls:
        client.get(url)
        assert client.get(url).headers["Cache-Status"] == "bookstall; hit"
    path.write_text(HEAD + "l1,Lampion,20,3\n")
    runner.invoke(args=["products", "load", str(path)])
    shown = [client.get(url).json for url in urls]
    assert [shown[0]["items"][0], shown[2]["items"][0]] == [shown[1], shown[1]]
    assert (shown[1]["name"], shown[1]["stock_level"]) == ("Lampion", 3)
    assert shown[3]["items"][0]["delta"] == -2


def test_the_whole_sample_is_loaded(app, tmp_path, wrong_sums):
    options = ["products", "load", str(SAMPLE), "--rejects", str(tmp_path / "rejects.csv")]
    result = app.test_cli_runner().invoke(args=options)
    assert result.stdout == "loaded 30, updated 0, unchanged 0, rejected 0\n"
    assert wrong_sums() == []


def test_a_load_leaves_what_is_held_and_the_stock_of_archived_products(client, load, path, product):
    held, archived = product(sku="l1", stock_level=10), product(sku="l2", stock_level=10)
    client.post(f"/products/{held}/holds", json={"quantity": 7, "expires_in": 900})
    client.patch(f"/products/{archived}", json={"archived": True})
    result = load(HEAD + "l1,Lamp,19.99,6\nl2,Lamp,19.99,11\n")
    assert result.stdout == "loaded 0, updated 0, unchanged 0, rejected 2\n"
    assert ["held" in reasons(path)[0], "archived" in reasons(path)[1]] == [True, True]
    result = load(HEAD + "l1,Lamp,19.99,7\nl2,Lamp,18.99,10\n")
    assert result.stdout == "loaded 0, updated 2, unchanged 0, rejected 0\n"
    assert client.get(f"/products/{held}").json["available"] == 0
