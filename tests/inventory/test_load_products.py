"""Products from files: prices as files write them, and a ledger that adds up."""

import csv
import threading
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import text

from app.extensions import db
from app.loading import upsert as upserts

DATA = Path(__file__).parent.parent / "data"
SAMPLE = Path(__file__).parent.parent.parent / "sample" / "products.csv"
BY_SOURCE = ("--map", "sku=product_id")
FRENCH = (
    *("--encoding", "cp1252", "--delimiter", "tab", "--columns"),
    "cis,cip7,name,status,marketing,date,sku,approval,rate,price,price_with_fee,fee,text",
)
HEAD = "sku,name,price,stock_level\n"
LAMP = "l1,Lamp,19.99,5\n"
WRONG_SUMS = """
    SELECT p.id FROM product p LEFT JOIN stock_adjustment a ON a.product_id = p.id
    GROUP BY p.id, p.stock_level HAVING COALESCE(SUM(a.delta), 0) <> p.stock_level"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "products.csv"


@pytest.fixture
def load(app: Flask, path: Path) -> Callable[..., Result]:
    """A factory of loads of a file that holds ``content``."""

    def run(content: str | bytes, *words: str) -> Result:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return app.test_cli_runner().invoke(args=["products", "load", str(path), *words])

    return run


@pytest.fixture
def wrong_sums(app: Flask) -> Callable[[], list[int]]:
    """Name the products whose ledger does not add up to their level."""

    def find() -> list[int]:
        with app.app_context():
            return list(db.session.scalars(text(WRONG_SUMS)))

    return find


def reasons(path, encoding="utf-8", delimiter=","):
    with path.with_name("products.csv.rejects.csv").open(newline="", encoding=encoding) as file:
        return [row["reason"] for row in csv.DictReader(file, delimiter=delimiter)]


def ledger(client, product_id):
    found = client.get(f"/products/{product_id}/stock-adjustments").json["items"]
    return [(entry["delta"], entry["stock_level"], entry["reason"]) for entry in found]


def test_real_products_go_in_as_their_source_has_them(client, load, path, wrong_sums):
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


def test_a_french_price_list_goes_in_with_decimal_commas_and_what_is_ambiguous_stays_out(
    client, load, path
):
    content = (DATA / "prices_cp1252.tsv").read_bytes()
    result = load(content, *FRENCH, "--decimal-comma")
    assert result.stdout == "loaded 16, updated 0, unchanged 0, rejected 8\n", result.output
    found = reasons(path, "cp1252", "\t")
    unreadable = "price: Not an amount: digits, with at most two decimals after a comma."
    assert {*found} == {"price: required for a new product", unreadable}
    assert found.count(unreadable) == 3  # 4,417,08 and the like
    shown = client.get("/products").json["items"]
    first = next(product for product in shown if product["sku"] == "3400936834651")
    assert first["name"] == "plaquette(s) aluminium de 30 comprimé(s)"
    assert (first["price"], first["stock_level"]) == ("3.75", 0)
    assert ledger(client, first["id"]) == []
    again = load(content, *FRENCH, "--decimal-comma")
    assert again.stdout == "loaded 0, updated 0, unchanged 16, rejected 8\n"


def test_a_decimal_comma_is_not_guessed_at(client, load, path):
    result = load((DATA / "prices_cp1252.tsv").read_bytes(), *FRENCH)
    assert result.stdout == "loaded 0, updated 0, unchanged 0, rejected 24\n"
    hint = "price: Has a decimal comma; if all prices in the file do, use --decimal-comma."
    assert reasons(path, "cp1252", "\t").count(hint) == 16
    assert client.get("/products").json["items"] == []


@pytest.mark.parametrize(
    ("written", "price"),
    [
        ("31.38", "31.38"),
        ("31", "31.00"),
        ("31.5", "31.50"),
        ("31.0", "31.00"),
        (" 31.38 ", "31.38"),
        ("0", "0.00"),
        ("007", "7.00"),
        ("99999999.99", "99999999.99"),
    ],
)
def test_a_price_may_come_as_a_spreadsheet_writes_it(client, load, written, price):
    result = load(f"sku,name,price\nl1,Lamp,{written}\n")
    assert result.exit_code == 0, result.output
    assert client.get("/products/1").json["price"] == price


@pytest.mark.parametrize(
    "written",
    [
        *("31,38", "4,418,10", "1,234", "1 234", "1.005", "12.000", "1.", ".5", "-1", "1e2"),
        *("NaN", "Infinity", "Free", "N/A", "٣", "$5", "5 €", "100000000"),
    ],
)
def test_any_other_price_is_rejected(client, load, path, written):
    assert load(f'sku,name,price\nl1,Lamp,"{written}"\n').exit_code == 1
    assert reasons(path)[0].startswith("price: ")
    assert client.get("/products").json["items"] == []


@pytest.mark.parametrize(
    ("written", "price"), [("31,38", "31.38"), ("31,5", "31.50"), ("31", "31.00"), ("0,00", "0.00")]
)
def test_decimal_commas_are_read_where_they_are_announced(client, load, written, price):
    assert load(f'sku,name,price\nl1,Lamp,"{written}"\n', "--decimal-comma").exit_code == 0
    assert client.get("/products/1").json["price"] == price


@pytest.mark.parametrize("written", ["4,418,10", "1,234", "31.38", "1.234", "-1,5", "1 234,5", ","])
def test_with_decimal_commas_whatever_could_mean_two_things_is_rejected(load, path, written):
    assert load(f'sku,name,price\nl1,Lamp,"{written}"\n', "--decimal-comma").exit_code == 1
    assert reasons(path)[0].startswith("price: Not an amount")


@pytest.mark.parametrize("written", ["-1", "1.5", "2147483648", "many"])
def test_a_stock_that_the_api_would_refuse_is_rejected(load, path, written):
    assert load(HEAD + f"l1,Lamp,1,{written}\n").exit_code == 1
    assert reasons(path)[0].startswith("stock_level: ")


def test_a_new_product_needs_a_name_and_a_price_and_may_have_no_stock(client, load, path):
    result = load(HEAD + "l1,,,5\nl2,Lamp,,5\nl3,Lamp,1,\n")
    assert result.stdout == "loaded 1, updated 0, unchanged 0, rejected 2\n"
    assert reasons(path) == [
        "name, price: required for a new product",
        "price: required for a new product",
    ]
    assert client.get("/products").json["items"][0]["stock_level"] == 0


def test_a_price_of_zero_is_a_price(client, load):
    load(HEAD + "l1,Gift,0,5\n")
    assert client.get("/products/1").json["price"] == "0.00"


def test_an_update_changes_what_differs_the_version_and_the_ledger(client, load):
    load(HEAD + LAMP)
    before = client.get("/products/1")
    result = load(HEAD + "l1,LAMP à huile,20,3\n")
    after = client.get("/products/1")
    assert result.stdout == "loaded 0, updated 1, unchanged 0, rejected 0\n"
    assert after.json["updated_at"] > before.json["updated_at"]
    changed = {"name": "LAMP à huile", "price": "20.00", "stock_level": 3}
    assert after.json == {**before.json, **changed, "updated_at": after.json["updated_at"]}
    assert (before.headers["ETag"], after.headers["ETag"]) == ('"1"', '"2"')
    assert ledger(client, 1) == [(-2, 3, "load"), (5, 5, "first stock")]
    assert client.get("/products/search", query_string={"name": "à HUILE"}).json["items"] == [
        after.json
    ]


def test_a_row_that_says_the_same_changes_nothing(client, load):
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
        ("sku,stock_level\nl1,7\n", {"stock_level": 7}),
        ("sku,price\nl1,7\n", {"price": "7.00"}),
        ("sku,name\nl1,Moon\n", {"name": "Moon"}),
        (HEAD + "l1,,,\n", {}),
    ],
)
def test_a_file_may_say_only_what_changes_and_a_blank_cell_changes_nothing(
    client, load, wrong_sums, content, change
):
    load(HEAD + LAMP)
    before = client.get("/products/1").json
    load(content)
    after = client.get("/products/1").json
    assert {**after, "updated_at": ""} == {**before, **change, "updated_at": ""}
    assert wrong_sums() == []


def test_a_sku_that_stands_twice_is_loaded_once(load, path):
    result = load(HEAD + LAMP + LAMP + LAMP.replace("5", "6"))
    assert result.stdout == "loaded 1, updated 0, unchanged 1, rejected 1\n"
    assert reasons(path) == ["sku l1 is already in line 2, with other values"]


def test_a_file_without_a_sku_is_refused(load):
    result = load("name,price\nLamp,1\n")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: No column for a key; name one: --map sku=COLUMN.\n",
    )


def test_a_change_made_after_the_look_up_is_taken_into_account(
    client, load, product, monkeypatch, wrong_sums
):
    """The stock moves right after the load has read it, before it locks the row."""
    lamp = product(sku="l1", stock_level=10)
    looked_up = upserts._reject_taken

    def meanwhile(*words):
        looked_up(*words)
        answer = client.patch(f"/products/{lamp}", json={"stock_level": 2})
        assert answer.status_code == 200

    monkeypatch.setattr(upserts, "_reject_taken", meanwhile)
    assert "updated 1" in load("sku,stock_level\nl1,7\n").stdout
    assert ledger(client, lamp)[0] == (5, 7, "load")
    assert client.get(f"/products/{lamp}").headers["ETag"] == '"3"'
    assert wrong_sums() == []


def test_requests_during_loads_are_answered_and_the_ledger_adds_up(app, client, load, wrong_sums):
    skus = range(60)
    load(HEAD + "".join(f"s{n},Lamp {n},1,50\n" for n in skus))
    done, statuses = threading.Event(), []

    def write():
        own, number = app.test_client(), 0
        while not done.is_set():
            number += 1
            one = number % len(skus) + 1
            answer = own.patch(f"/products/{one}", json={"stock_level": number % 90})
            moved = own.post(f"/products/{one}/stock-adjustments", json={"delta": -1})
            statuses.extend((answer.status_code, moved.status_code))

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    for level in range(6):
        result = load("sku,stock_level\n" + "".join(f"s{n},{level}\n" for n in skus))
        assert result.exit_code == 0, result.output
    done.set()
    for writer in writers:
        writer.join()
    assert {*statuses} <= {200, 201, 409}
    assert {200, 201} <= {*statuses}
    assert wrong_sums() == []


def test_cached_answers_are_forgotten(make_app, database, redis_url, path):
    app = make_app(database, redis_url=redis_url)
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


def test_the_sample_goes_in_whole(app, tmp_path, wrong_sums):
    words = ["products", "load", str(SAMPLE), "--rejects", str(tmp_path / "rejects.csv")]
    result = app.test_cli_runner().invoke(args=words)
    assert result.stdout == "loaded 30, updated 0, unchanged 0, rejected 0\n"
    assert wrong_sums() == []
